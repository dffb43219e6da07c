"""The embedded Milvus Lite server: started as a child where no Milvus answers, stopped at the end.

    python -m serving.embedded DATA_DIR HOST PORT

The child reads its standard input and ends when that ends, so a killed parent leaves no server behind.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from features.settings import Settings
from serving.errors import IndexUnavailableError
from serving.settings import ServingSettings

log = structlog.get_logger(__name__)

REPOSITORY: Final = Path(__file__).resolve().parents[1]
START_SECONDS: Final = 60.0
"""Two to five seconds on an idle core, most of it imports."""
STOP_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 5.0
"""Before the next try, where one ended by itself: another process may be starting one at the same time."""
LOG_TAIL: Final = 2_000


@contextmanager
def milvus_server(serving_settings: ServingSettings, settings: Settings) -> Iterator[str]:
    """The URI of a Milvus that answers, for the time of the ``with`` block.

    What already answers at ``milvus_uri`` is used and left alone. Otherwise Milvus Lite is started over
    ``FACET_HOME/milvus``, but only where the URI is a loopback address without credentials.

    Raises:
        IndexUnavailableError: nothing answers and nothing may be, or could be, started.
    """
    if is_listening(serving_settings):
        yield serving_settings.milvus_uri
        return
    if not serving_settings.may_embed_milvus:
        raise IndexUnavailableError(
            f"no Milvus answers at {serving_settings.milvus_uri}; start it or correct FACET_MILVUS_URI"
        )
    log_file = settings.root / "logs" / "milvus.log"
    child = _start(serving_settings, settings.root / "milvus", log_file)
    try:
        _wait_until_listening(child, serving_settings, log_file)
        yield serving_settings.milvus_uri
    finally:
        _stop(child)


@contextmanager
def kept_milvus(serving_settings: ServingSettings, settings: Settings) -> Iterator[None]:
    """Milvus Lite, started in the background whenever nothing answers during the ``with`` block.

    For processes that stay, and several of one home: the data folder has a lock, so one of them runs the
    server, and another takes over when it ends. A Milvus that is not this home's is left alone for good:
    its port must be free when it is started again.
    """
    is_others = is_listening(serving_settings) and not _is_served(settings.root / "milvus")
    if is_others or not serving_settings.may_embed_milvus:
        yield
        return
    ending = threading.Event()
    keeper = threading.Thread(target=_keep, args=(serving_settings, settings, ending), name="milvus keeper")
    keeper.start()
    try:
        yield
    finally:
        ending.set()
        keeper.join()


def is_listening(serving_settings: ServingSettings) -> bool:
    """Whether something accepts connections at ``milvus_uri``."""
    address = (serving_settings.milvus_host, serving_settings.milvus_port)
    try:
        with socket.create_connection(address, timeout=1.0):
            return True
    except OSError:
        return False


def main(data_dir: str, host: str, port: str) -> None:
    """Serve ``data_dir`` until standard input ends or a signal comes; then close it in order."""
    from milvus_lite.adapter.grpc.server import run_server

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # run_server closes its files on Ctrl-C
    threading.Thread(target=_end_with_input, daemon=True).start()
    run_server(data_dir, host, int(port))


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)  # SIGINT is ignored in what a script starts in the background


def _start(serving_settings: ServingSettings, data_dir: Path, log_file: Path) -> subprocess.Popen[bytes]:
    data_dir.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    address = (serving_settings.milvus_host, str(serving_settings.milvus_port))
    with log_file.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "serving.embedded", str(data_dir), *address],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in a terminal must not end it before its parent is done
        )


def _is_served(data_dir: Path) -> bool:
    """Whether a Milvus Lite holds the lock that it takes on its folder."""
    try:
        with (data_dir / "LOCK").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _keep(serving_settings: ServingSettings, settings: Settings, ending: threading.Event) -> None:
    log_file = settings.root / "logs" / "milvus.log"
    child, pause = None, 0.0
    while not ending.wait(pause):
        pause = LOOK_SECONDS
        if child is not None and child.poll() is not None:
            log.warning("milvus lite ended", log=str(log_file))
            child, pause = None, AGAIN_SECONDS
        elif child is None and not is_listening(serving_settings):
            log.info("milvus lite starting", uri=serving_settings.milvus_uri)
            child = _start(serving_settings, settings.root / "milvus", log_file)
    if child is not None:
        _stop(child)


def _wait_until_listening(
    child: subprocess.Popen[bytes], serving_settings: ServingSettings, log_file: Path
) -> None:
    started = time.monotonic()
    while not is_listening(serving_settings):
        if child.poll() is not None or time.monotonic() - started > START_SECONDS:
            tail = log_file.read_text(errors="replace")[-LOG_TAIL:]
            raise IndexUnavailableError(
                f"Milvus Lite did not start at {serving_settings.milvus_uri}; {log_file} ends with:\n{tail}"
            )
        time.sleep(0.1)
    log.info(
        "milvus lite started", uri=serving_settings.milvus_uri, seconds=round(time.monotonic() - started, 2)
    )


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
