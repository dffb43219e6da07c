"""A real Milvus in one process, for tests and benchmarks, as ``docker/install-milvus.sh`` installs it.

2.3.5 is the last version that comes as a wheel. Some of its ports listen on every address of the machine, so
it is never for production.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import yaml

from serving.errors import IndexUnavailableError
from serving.milvus import MilvusConnection
from serving.settings import ServingSettings

REPOSITORY: Final = Path(__file__).resolve().parents[1]
INSTALLED: Final = REPOSITORY / "build" / "milvus"
PORTS: Final = (
    "root_coord_port",
    "proxy_internal_port",
    "query_coord_port",
    "query_node_port",
    "index_coord_port",
    "index_node_port",
    "data_coord_port",
    "data_node_port",
)
START_SECONDS: Final = 120.0
"""Three on an idle core."""
STOP_SECONDS: Final = 2.0
"""It often takes for ever to end by itself; what was flushed is on disk."""
LOG_TAIL: Final = 2_000
PLACE: Final = re.compile(r"\{\{ *(\w+)(?:\(\w+\))?(?:: *([^}]*?))? *\}\}")
"""A name in the wheel's template of settings, such as ``{{ proxy_port(int): 19530 }}``."""
SESSION_SECONDS: Final = 10
"""How long a server that starts again waits for the sessions of the one before it; 30 by default."""
UNTIL_INPUT_ENDS: Final = 'exec 3<&0; "$@" & server=$!; { cat <&3; kill $server; } & wait $server'
"""A killed parent leaves no server behind."""


class StandaloneMilvus:
    """One server over one folder; it may be stopped and started again at the same address.

    Args:
        data_dir: holds everything that it writes.
        port: of its API; a free one if ``None``.
    """

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        self._data_dir = data_dir
        self.port = port or free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Leader of its process group, while it runs."""
        assert self._process is not None, "started"
        return self._process.pid

    def start(self) -> None:
        """Return when it answers.

        Raises:
            IndexUnavailableError: it is not installed, or did not start; the text holds the end of its log.
        """
        if not (INSTALLED / "installed").exists():
            raise IndexUnavailableError("no Milvus in build/milvus; run `make milvus`")
        self._data_dir.mkdir(parents=True, exist_ok=True)
        programs = INSTALLED / "server" / "bin"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", UNTIL_INPUT_ENDS, "bash", programs / "milvus", "run", "standalone"],
                cwd=self._data_dir,
                env=os.environ | {"LD_LIBRARY_PATH": str(programs)} | self._write_settings(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it; nothing happens if it does not run."""
        if self._process is None:
            return
        assert self._process.stdin is not None, "a pipe"
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    @property
    def _log(self) -> Path:
        return self._data_dir / "milvus.log"

    def _write_settings(self) -> dict[str, str]:
        """Write its files of settings; what it must hear of them by environment."""
        etcd, peer, metrics, *ports = free_ports(3 + len(PORTS))
        data = self._data_dir / "data"
        values = dict(zip(PORTS, map(str, ports), strict=True)) | {
            "proxy_port": str(self.port),
            "etcd_port": str(etcd),
            "etcd_data_dir": str(data / "etcd"),
            "local_storage_dir": str(data),
            "rocksmq_data_dir": str(data / "rocksmq"),
            "system_log_path": str(self._data_dir / "logs"),
        }
        [template] = INSTALLED.glob("lib/*/site-packages/milvus/data/config.yaml.template")
        folder = self._data_dir / "configs"
        folder.mkdir(exist_ok=True)
        shutil.copy(template.with_name("glog.conf"), folder)
        filled = PLACE.sub(lambda place: values.get(place[1], place[2] or ""), template.read_text())
        (folder / "milvus.yaml").write_text(filled)
        # Two servers would both take 2379 and 2380, whatever that file says.
        client_url, peer_url = (f"http://127.0.0.1:{port}" for port in (etcd, peer))
        of_etcd = {
            "listen-client-urls": client_url,
            "advertise-client-urls": client_url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"default={peer_url}",
        }
        (folder / "etcd.yaml").write_text(yaml.safe_dump(of_etcd))
        return {
            "DEPLOY_MODE": "STANDALONE",
            "COMMON_SESSION_TTL": str(SESSION_SECONDS),
            "METRICS_PORT": str(metrics),
            "MILVUS_RUN_DIR": str(self._data_dir / "run"),
            "ETCD_CONFIG_PATH": str(folder / "etcd.yaml"),
        }

    def _wait_until_ready(self) -> None:
        assert self._process is not None, "started"
        end = time.monotonic() + START_SECONDS
        while True:
            connection = MilvusConnection(ServingSettings(milvus_uri=self.uri))
            try:
                with connection.translating("starting") as client:
                    client.list_collections()
                return
            except IndexUnavailableError as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    tail = self._log.read_text(errors="replace")[-LOG_TAIL:]
                    raise IndexUnavailableError(
                        f"Milvus did not start; {self._log} ends with:\n{tail}"
                    ) from error
            time.sleep(0.1)


@contextmanager
def standalone_milvus(data_dir: Path, port: int | None = None) -> Iterator[StandaloneMilvus]:
    """A server for the time of the ``with`` block; see ``StandaloneMilvus``."""
    server = StandaloneMilvus(data_dir, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
