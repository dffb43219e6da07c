"""The peers' own Python environments, below FACET_HOME/bench/venvs, and a way to run their loops.

A peer wants other versions than Facet, so it never shares an environment with it; its script runs in a
process of its own and answers with JSON.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from features.settings import Settings

log = structlog.get_logger(__name__)

HERE: Final = Path(__file__).resolve().parent
PEERS: Final = ("recbole", "rechub")
STAMP: Final = "requirements.sha256"
"""Written last, so an environment without it is half made."""


class PeerFailedError(RuntimeError):
    """A peer's environment could not be made, or its script ended without a result."""


def peer_python(name: str) -> Path:
    """The Python of a peer's environment, which is made first if its requirements changed.

    Another process that wants the same environment waits; a killed one is made again from nothing.

    Args:
        name: one of ``PEERS``; its pinned packages are in ``<name>.txt`` beside this file.

    Raises:
        ValueError: an unknown peer.
        PeerFailedError: the packages could not be installed.
    """
    if name not in PEERS:
        raise ValueError(f"name={name!r} is no peer; choose from {', '.join(PEERS)}")
    requirements = HERE / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = Settings().root / "bench" / "venvs" / name
    python, stamp = folder / "bin" / "python", folder / STAMP
    with _lock(folder.with_suffix(".lock")):
        if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
            log.info("peer environment", peer=name, folder=str(folder))
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
            _run([*_uv(), "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)])
            stamp.write_text(wanted)
    return python


def run_peer(name: str, sequences: Path, **options: str | int | float) -> dict[str, Any]:
    """What a peer's loop reports: ``examples_per_second``, ``steps``, ``peak_memory_mb``, ``versions``, more.

    Args:
        name: one of ``PEERS``; runs ``<name>_loop.py`` beside this file, on one thread.
        sequences: an npz with ``offsets`` (U + 1), ``video_rows`` (W, from 1) and ``num_rows``.
        options: the script's other arguments, such as ``batch=1024, max_examples=50_000``.

    Raises:
        PeerFailedError: the environment could not be made, or the script failed.
    """
    command = [
        str(peer_python(name)),
        str(HERE / f"{name}_loop.py"),
        "--sequences",
        str(sequences.absolute()),
    ]
    for option, value in options.items():
        command += [f"--{option.replace('_', '-')}", str(value)]
    last_line = _run(command).strip().rpartition("\n")[2]
    try:
        result: dict[str, Any] = json.loads(last_line)
    except json.JSONDecodeError as error:
        raise PeerFailedError(f"{name} printed no result, its last line is {last_line!r}") from error
    log.info("peer timed", peer=name, examples_per_second=round(result["examples_per_second"]), **options)
    return result


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds a file lock, which the system drops with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _uv() -> list[str]:
    """uv beside this Python, else from the path."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise PeerFailedError("uv is missing: install it into Facet's environment with `pip install uv`")
    return [uv]


def _run(command: list[str]) -> str:
    """Standard output of a command that runs on one thread, in an empty folder, without Facet's imports."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if "PIP_FIND_LINKS" in environment:  # where pip finds local wheels, uv looks too
        environment.setdefault("UV_FIND_LINKS", environment["PIP_FIND_LINKS"])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise PeerFailedError(f"{command[0]} ended with {done.returncode}: {' '.join(command)}\n{tail}")
    return done.stdout
