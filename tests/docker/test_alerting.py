"""A real Prometheus hands what is wrong to a real Alertmanager, and its webhook gets it grouped."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import yaml

from serving.standalone import free_ports
from tests.docker.monitoring import DOCKER, PROMETHEUS
from tests.docker.test_prometheus import running, wait_until_ok, write_config

NOTIFIED_SECONDS = 60.0
METRICS = b"facet_missed_deadlines 1\n"
"""What a process says that misses nothing but a deadline."""


@contextmanager
def answering(bodies: "Queue[dict[str, Any]]") -> Iterator[int]:
    """Port of a server that tells ``METRICS`` to Prometheus, and keeps what Alertmanager posts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(METRICS)

        def do_POST(self) -> None:
            bodies.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def write_alertmanager(folder: Path, webhook_port: int) -> Path:
    """The file of the repository; Debian's 0.25 knows no ``url_file``, and half a minute is long here."""
    config = yaml.safe_load((DOCKER / "alertmanager.yml").read_text())
    [webhook] = config["receivers"][0]["webhook_configs"]
    assert webhook.pop("url_file") == "/run/secrets/alert_webhook_url"
    webhook["url"] = f"http://127.0.0.1:{webhook_port}/"
    config["route"]["group_wait"] = "5s"
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def write_prometheus(folder: Path, alertmanager_port: int, targets: list[int]) -> Path:
    """The files of the repository with these targets; an alert fires at once."""
    config = write_config(folder, targets[0])
    at_once = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    for rule in (rule for group in at_once["groups"] for rule in group["rules"]):
        rule.pop("for", None)
    (folder / "alerts.yml").write_text(yaml.safe_dump(at_once))
    for name, ports in {"facet": targets, "alertmanager": [alertmanager_port]}.items():
        found = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
        (folder / "targets" / f"{name}.yml").write_text(yaml.safe_dump(found))
    return config


@pytest.mark.server
@pytest.mark.timeout(300)
def test_a_page_and_a_ticket_reach_the_webhook_one_message_an_alert(tmp_path: Path) -> None:
    """Two processes do not answer, and a third says that a run is late."""
    bodies: Queue[dict[str, Any]] = Queue()
    port, prometheus_port, *away = free_ports(4)
    with ExitStack() as stack:
        webhook_port = stack.enter_context(answering(bodies))
        alertmanager = ["prometheus-alertmanager", "--cluster.listen-address="]
        alertmanager += [f"--config.file={write_alertmanager(tmp_path, webhook_port)}"]
        alertmanager += [f"--storage.path={tmp_path / 'alerts'}", f"--web.listen-address=127.0.0.1:{port}"]
        stack.enter_context(running(alertmanager, tmp_path / "alertmanager.log"))
        wait_until_ok(f"http://127.0.0.1:{port}/-/ready", tmp_path / "alertmanager.log")
        config = write_prometheus(tmp_path, port, [*away, webhook_port])
        prometheus = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
        prometheus += [f"--web.listen-address=127.0.0.1:{prometheus_port}"]
        stack.enter_context(running(prometheus, tmp_path / "prometheus.log"))
        messages = sorted((bodies.get(timeout=NOTIFIED_SECONDS) for _ in range(2)), key=alert_name)
    told = [(alert_name(message), message["commonLabels"]["severity"]) for message in messages]
    assert told == [("FacetDown", "page"), ("FacetTaskLate", "ticket")]
    assert [(message["status"], len(message["alerts"])) for message in messages] == [
        ("firing", 2),
        ("firing", 1),
    ]
    down = {alert["labels"]["instance"] for alert in messages[0]["alerts"]}
    assert down == {f"127.0.0.1:{port}" for port in away}
    assert messages[0]["commonAnnotations"]["runbook"] == "docs/operating.md#facetdown"
    assert bodies.empty()


def alert_name(message: dict[str, Any]) -> str:
    """What a message is about; it is grouped by nothing else."""
    [(key, name)] = message["groupLabels"].items()
    assert key == "alertname"
    return str(name)
