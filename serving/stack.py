"""The embedded stack: every process of Facet on this machine, as ``facet up`` and the demo run it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final, NoReturn
from urllib.request import urlopen

import structlog

from features.errors import BadInputError, RetryLaterError
from features.settings import Settings
from serving.airflow import REPOSITORY, migrate_airflow, stack_environment
from serving.settings import ServingSettings
from serving.stack_settings import StackSettings

log = structlog.get_logger(__name__)

AIRFLOW: Final = ("scheduler", "dag-processor", "api-server")
CORE: Final = (*AIRFLOW, "milvus", "serving")
EVERYTHING: Final = (*CORE, "mlflow", "feast")
START_SECONDS: Final = 120.0
"""A cold start of everything takes about 25 s on two idle cores."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one process listens, the setting that moves it, and whether it is well."""

    title: str
    url: str
    port: int
    setting: str
    is_ready: Callable[[], bool]


def endpoints(stack: StackSettings, serving: ServingSettings) -> dict[str, Endpoint]:
    """Everything that listens, by the name of its process."""
    airflow = f"http://127.0.0.1:{stack.airflow_port}"
    api = f"http://{serving.host}:{serving.port}"
    mlflow = f"http://127.0.0.1:{stack.mlflow_port}"
    feast = f"http://127.0.0.1:{stack.feast_port}"
    milvus = partial(_accepts, serving.milvus_port)
    return {
        "api-server": Endpoint(
            "Airflow", airflow, stack.airflow_port, "FACET_AIRFLOW_PORT", partial(_airflow_is_well, airflow)
        ),
        "milvus": Endpoint(
            "Milvus Lite", serving.milvus_uri, serving.milvus_port, "FACET_MILVUS_URI", milvus
        ),
        "serving": Endpoint(
            "Facet API", f"{api}/docs", serving.port, "FACET_PORT", partial(_answers, f"{api}/healthz")
        ),
        "mlflow": Endpoint(
            "MLflow", mlflow, stack.mlflow_port, "FACET_MLFLOW_PORT", partial(_answers, f"{mlflow}/health")
        ),
        "feast": Endpoint("Feast", feast, stack.feast_port, "FACET_FEAST_PORT", partial(_answers, feast)),
    }


@contextmanager
def run_stack(
    settings: Settings,
    processes: Sequence[str] = EVERYTHING,
    *,
    ports: StackSettings | None = None,
    serving: ServingSettings | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator["Stack"]:
    """Start ``processes``, wait until all are well, and leave nothing behind at the end.

    Inside, SIGTERM ends this program as Ctrl-C does: through the end of the ``with`` block.

    Args:
        more: environment variables of all processes, beside those that the settings lead to.

    Raises:
        BadInputError: a port is taken.
        RetryLaterError: a process ended, or is not well after ``START_SECONDS``; with the end of its log.
    """
    stack = Stack(settings, processes, ports or StackSettings(), serving or ServingSettings(), more)
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        stack.start()
        stack.wait_until_ready()
        yield stack
    finally:
        stack.stop()
        signal.signal(signal.SIGTERM, before)


class Stack:
    """The processes of one home, below a supervisor that ends them all when this process ends."""

    def __init__(
        self,
        settings: Settings,
        processes: Sequence[str],
        ports: StackSettings,
        serving: ServingSettings,
        more: Mapping[str, str],
    ) -> None:
        elsewhere = () if serving.may_embed_milvus else ("milvus",)
        self.processes = tuple(name for name in processes if name not in elsewhere)
        self.environment = {**stack_environment(settings, ports, serving), **more}
        self.logs = settings.root / "logs"
        self.all_endpoints = endpoints(ports, serving)
        self.endpoints = {
            name: self.all_endpoints[name] for name in self.processes if name in self.all_endpoints
        }
        self._settings = settings
        self._supervisor: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Prepare Airflow's database where it is new, and start; ``wait_until_ready`` waits."""
        for endpoint in self.endpoints.values():
            _require_free(endpoint)
        self.logs.mkdir(parents=True, exist_ok=True)
        for name in self.processes:
            self._log(name).write_bytes(b"")
        if set(AIRFLOW) & set(self.processes):
            migrate_airflow(self._settings, self.environment)
        command = [sys.executable, "-m", "serving.supervisor", str(os.getpid()), *self.processes]
        with self._log("stack").open("wb") as output:
            self._supervisor = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor through us, once
            )
        log.info("stack starting", processes=list(self.processes), logs=str(self.logs))

    def wait_until_ready(self) -> None:
        """Return when everything that listens is well; Feast's UI comes with the first features."""
        started = time.monotonic()
        has_features = (self._settings.feast / "feature_store.yaml").exists()
        waiting = [name for name in self.endpoints if name != "feast" or has_features]
        while waiting := [name for name in waiting if not self.endpoints[name].is_ready()]:
            self.require_alive()
            if time.monotonic() - started > START_SECONDS:
                raise RetryLaterError(
                    f"{waiting[0]} is not well after {START_SECONDS:.0f} s\n{self.log_tail(waiting[0])}"
                )
            time.sleep(0.2)
        log.info("stack ready", seconds=round(time.monotonic() - started, 1))

    def wait(self) -> None:
        """Block until a process of the stack ends, and raise then."""
        while True:
            self.require_alive()
            time.sleep(0.5)

    def require_alive(self) -> None:
        """Raise if a process has ended: all others are then ended too."""
        if self._supervisor is None or self._supervisor.poll() is None:
            return
        lines = self._log("stack").read_text().splitlines()
        ended = [line.split("|")[1].split()[0] for line in lines if " stopped (rc=" in line]
        name = ended[0].removesuffix(".1") if ended else "stack"
        raise RetryLaterError(f"{name} ended, and the stack with it\n{self.log_tail(name)}")

    def log_tail(self, name: str, num_lines: int = 25) -> str:
        """The path of a process's log and the newest lines in it."""
        lines = self._log(name).read_text(errors="replace").splitlines()
        return "\n".join([f"{self._log(name)}:", *lines[-num_lines:]])

    def stop(self) -> None:
        """End every process; returns when the last one is gone."""
        if self._supervisor is not None:
            self._supervisor.terminate()
            self._supervisor.wait()
            self._supervisor = None
            log.info("stack stopped")

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def _exit(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)


def _require_free(endpoint: Endpoint) -> None:
    if _accepts(endpoint.port):
        wanted = f"port {endpoint.port} for {endpoint.title}"
        raise BadInputError(f"{wanted} is taken; stop what listens there, or set {endpoint.setting}")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    return _get(url) is not None


def _airflow_is_well(url: str) -> bool:
    """The API answers, and scheduler and dag-processor have given a sign of life."""
    body = _get(f"{url}/api/v2/monitor/health")
    parts = json.loads(body) if body else {}
    names = ("metadatabase", "scheduler", "dag_processor")
    return all(parts.get(name, {}).get("status") == "healthy" for name in names)


def _get(url: str) -> bytes | None:
    try:
        with urlopen(url, timeout=2.0) as answer:
            body: bytes = answer.read()
            return body
    except OSError:
        return None
