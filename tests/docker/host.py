"""The services of docker/compose.yaml as processes of this machine, with other paths, hosts and ports."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from serving.standalone import free_ports
from tests.docker.collector import Collector
from tests.docker.compose import DOCKER, OURS, ROOT, SERVICES, environment_of

CELERY: Final = ROOT / "build" / "celery"
HEALTH_SECONDS: Final = 240.0
"""All at once on two busy cores; a quiet machine needs a tenth."""
STOP_SECONDS: Final = 2.0
LISTENING: Final = {"api-server": 8080, "mlflow": 5000, "scheduler": 8974, "serving-a": 8000, "redis": 6379}
"""Ports that services of the compose file open by themselves."""


class Host:
    """Where everything lies and listens here.

    Args:
        folder: for the home, the secrets, the images' files and the logs.
        servers: ports of what runs already, by ``host:port`` as the compose file writes it.
        collector: gets Airflow's own metrics.
    """

    def __init__(self, folder: Path, servers: dict[str, int], collector: Collector) -> None:
        self.folder = folder
        self.collector = collector
        self._running: list[subprocess.Popen[bytes]] = []
        *ports, self._log_port = free_ports(len(LISTENING) + 1)
        self.ports = dict(zip(LISTENING, ports, strict=True))
        replaced = {address: f"127.0.0.1:{port}" for address, port in servers.items()}
        for name, port in LISTENING.items():
            replaced |= {f"{name}:{port}": f"127.0.0.1:{self.ports[name]}", str(port): str(self.ports[name])}
        self._replaced = replaced | {
            "/var/lib/facet": str(folder / "home"),
            "/run/secrets": str(folder / "secrets"),
            "/tmp/airflow_passwords.json": str(folder / "airflow_passwords.json"),
            "0.0.0.0": "127.0.0.1",
            "redis-cli": f"redis-cli -p {self.ports['redis']}",
            "$$": "$",
        }
        longest_first = sorted(self._replaced, key=len, reverse=True)
        self._pattern = re.compile("|".join(rf"(?<!\w){re.escape(text)}(?!\d)" for text in longest_first))
        (folder / "home").mkdir()
        self._write_secrets()
        for image in ("airflow", "serving"):
            self._copy_image(image)

    def environment(self, name: str) -> dict[str, str]:
        """What the process of a service gets: the image's variables, then those of the service."""
        path = [str(Path(sys.executable).parent), str(CELERY / "bin"), os.environ["PATH"]]
        here = {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": os.pathsep.join([str(self._image(name)), str(CELERY)]),
            "HOME": str(self.folder),
            "HOSTNAME": socket.gethostname(),
            "OMP_NUM_THREADS": "1",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # 5 s are too few on busy cores
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "2000",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports["scheduler"]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_port),
        }
        return here | {key: self._translated(value, name) for key, value in environment_of(name).items()}

    def command(self, name: str) -> list[str]:
        """The command of a service; the one of its image if it has none."""
        command = SERVICES[name].get("command")
        if command is None:
            lines = (DOCKER / SERVICES[name]["build"]["dockerfile"].removeprefix("docker/")).read_text()
            command = json.loads(lines.splitlines()[-1].removeprefix("CMD "))
        more = ["--port", "6379", "--bind", "127.0.0.1", "--dir", str(self.folder)] if name == "redis" else []
        return [self._translated(part, name) for part in [*command, *more]]

    def health_check(self, name: str) -> list[str]:
        """The health check of a service as a command."""
        kind, *rest = [self._translated(part, name) for part in SERVICES[name]["healthcheck"]["test"]]
        return rest if kind == "CMD" else ["sh", "-c", *rest]

    def log(self, name: str) -> Path:
        """What a service writes."""
        return self.folder / f"{name}.log"

    def secret(self, name: str) -> str:
        """What a secret says here."""
        return (self.folder / "secrets" / name).read_text()

    def run(self, name: str) -> None:
        """Run a service that ends by itself; fails with what it says."""
        with self._start(name) as process:
            assert process.wait() == 0, self.log(name).read_text()[-3000:]

    def start(self, name: str) -> None:
        """Begin to run a service; ``stop`` ends it."""
        self._running.append(self._start(name))

    def stop(self) -> None:
        """End all services together with all that they started."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, end)
            for process in self._running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)

    def wait_until_healthy(self, name: str) -> None:
        """Return when the health check of a running service says so."""
        end = time.monotonic() + HEALTH_SECONDS
        while True:
            found = subprocess.run(
                self.health_check(name),
                env=self.environment(name),
                cwd=self._image(name),
                capture_output=True,
                text=True,
                check=False,
            )
            if found.returncode == 0:
                return
            if time.monotonic() > end:
                pytest.fail(f"{name}: {found.stderr[-1000:]}\n{self.log(name).read_text()[-3000:]}")
            time.sleep(0.5)

    def _translated(self, text: str, name: str) -> str:
        text = text.replace("/opt/facet", str(self._image(name)))
        return self._pattern.sub(lambda found: self._replaced[found[0]], text)

    def _image(self, name: str) -> Path:
        image = SERVICES[name]["image"]
        return self.folder / (image.partition(":")[0] if image in OURS else "")

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        with self.log(name).open("wb") as output:
            return subprocess.Popen(
                self.command(name),
                env=self.environment(name),
                cwd=self._image(name),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _write_secrets(self) -> None:
        """As docker/make-secrets.sh makes them, with the addresses of here."""
        secrets = self.folder / "secrets"
        subprocess.run(["bash", DOCKER / "make-secrets.sh", secrets], check=True)
        for secret in secrets.iterdir():
            secret.write_text(self._pattern.sub(lambda found: self._replaced[found[0]], secret.read_text()))

    def _copy_image(self, image: str) -> None:
        """What a Dockerfile copies of the repository into /opt/facet, and nothing else."""
        place = self.folder / f"facet-{image}"
        for line in (DOCKER / f"{image}.Dockerfile").read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line and "/tmp/" not in line:
                _, *sources, target = line.split()
                for source in sources:
                    into = place / target / Path(source).name if target.endswith("/") else place / target
                    into.parent.mkdir(parents=True, exist_ok=True)
                    if (ROOT / source).is_dir():
                        ignored = shutil.ignore_patterns("__pycache__")
                        shutil.copytree(ROOT / source, into, ignore=ignored)
                    else:
                        shutil.copy(ROOT / source, into)
