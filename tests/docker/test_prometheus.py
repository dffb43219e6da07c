"""A real Prometheus scrapes a real Facet, and every panel and alert gets data."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.docker.collector import Collector, collecting
from tests.docker.monitoring import PROMETHEUS, Query, alert_queries, panel_queries

REPOSITORY = Path(__file__).parents[2]
DAYS = ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
START_SECONDS = 180.0
"""Feast alone takes most of a minute on a busy machine."""
DATA_SECONDS = 120.0
TRAIN = """
from training.challenger import train_challenger
from training.errors import GateRefusedError
for model in ("popularity", "single_activation"):
    try:
        train_challenger(model, "2026-03-04")
    except GateRefusedError as error:  # so small a log rarely beats popularity; the bundle is there
        print(error)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(environment: dict[str, str], *arguments: str) -> str:
    """What a command of this Python prints; fails with what it says."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr[-3000:]}"
    return done.stdout


@contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator[None]:  # noqa: ANN401 - Popen's own
    """A process that is ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
        try:
            yield
            assert process.poll() is None, log.read_text()[-3000:]
        finally:
            process.terminate()
            process.wait(30)


def wait_until_ok(url: str, log: Path) -> None:
    """Return when ``url`` answers 200."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=20.0).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    pytest.fail(f"{url} is not well: {log.read_text()[-3000:]}")


def write_config(folder: Path, facet_port: int) -> Path:
    """The configuration of the repository with another target, looking every second."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "targets").mkdir()
    (folder / "targets" / "facet.yml").write_text(f'- targets: ["127.0.0.1:{facet_port}"]')
    (folder / "alerts.yml").write_text((PROMETHEUS / "alerts.yml").read_text())
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def prepare(environment: dict[str, str]) -> None:
    """A small release of simulated days, with some broken rows in the newest."""
    small = ["--users", "60", "--videos", "120", "--days", "4", "--last-day", DAYS[-1]]
    run(environment, "-m", "facet", "simulate", *small)
    landing = Path(environment["FACET_HOME"]) / "landing" / "watches" / DAYS[-1]
    (landing / "broken.jsonl").write_text("not a row\n" * 3)
    run(environment, "-m", "facet", "ingest", f"{DAYS[0]}..{DAYS[-1]}")
    run(environment, "-m", "facet", "materialize", DAYS[-1])
    run(environment, "-c", TRAIN)
    bundles = sorted((Path(environment["FACET_HOME"]) / "bundles").glob("*/*/manifest.json"))
    run(environment, "-m", "facet", "publish", *(str(path.parent) for path in bundles))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """What gets the spans of Facet."""
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[str]:
    """Address of a Prometheus that has seen traffic of a small release."""
    folder = tmp_path_factory.mktemp("prometheus")
    facet_port, port, milvus_port = free_port(), free_port(), free_port()
    milvus = f"http://127.0.0.1:{milvus_port}"
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "FACET_HOME": str(folder / "home"),
        "FACET_PORT": str(facet_port),
        "FACET_MILVUS_URI": milvus,
        "FACET_MLFLOW_URI": "off",
        "FACET_FEATURES_TIMEOUT_MS": "20000",
        "FACET_SEARCH_TIMEOUT_MS": "20000",
        "FACET_PUBLISH_MAX_SEARCH_MS": "20000",
        "FACET_INDEX_CHECK_SECONDS": "1",
        "FACET_TRAIN_SET": json.dumps({"single_activation": ["epochs=1"]}),
        "FACET_OTEL_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OMP_NUM_THREADS": "1",
    }
    prepare(environment)
    facet = f"http://127.0.0.1:{facet_port}"
    config = write_config(folder, facet_port)
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    with (
        running(
            [sys.executable, "-m", "facet", "serve"], folder / "facet.log", env=environment, cwd=REPOSITORY
        ),
        running(command, folder / "prometheus.log"),
    ):
        wait_until_ok(f"{facet}/readyz", folder / "facet.log")
        wait_until_ok(f"http://127.0.0.1:{port}/-/ready", folder / "prometheus.log")
        for _ in range(2):  # a rate needs two looks
            for user_id in (*range(20), 9999):
                body = {"user_id": user_id, "top_n": 10}
                httpx.post(f"{facet}/v1/recall", json=body, timeout=60.0).raise_for_status()
            time.sleep(3.0)
        yield f"http://127.0.0.1:{port}"


def result_of(prometheus: str, query: Query) -> list[dict[str, Any]]:
    """What Prometheus finds, as soon as it finds something."""
    end = time.monotonic() + DATA_SECONDS
    while True:
        answer = httpx.get(
            f"{prometheus}/api/v1/query", params={"query": query.expression}, timeout=20.0
        ).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_panel_and_every_alert_gets_data(prometheus: str) -> None:
    empty = [
        query.place for query in [*panel_queries(), *alert_queries()] if not result_of(prometheus, query)
    ]
    assert empty == []


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_prometheus_has_loaded_the_alerts(prometheus: str) -> None:
    groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=20.0).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {query.place for query in alert_queries()}
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_recall_reaches_the_collector_as_a_span_with_its_stages(
    prometheus: str, collector: Collector
) -> None:
    """Of the requests that ``prometheus`` has made."""
    end = time.monotonic() + DATA_SECONDS
    while not (spans := answered(collector)) and time.monotonic() < end:
        time.sleep(0.5)
    assert spans, "no span of a recall came"
    span = spans[0]
    assert (span["service.name"], span["http.response.status_code"]) == ("facet", 200)
    assert len(span["request_id"]) == len(span["trace_id"]) == 32
    assert span["facet.release"]
    assert span["facet.candidates"] == 10
    for stage in ("features", "interests", "search", "merge"):
        assert span[f"facet.{stage}_ms"] > 0


def answered(collector: Collector) -> list[dict[str, Any]]:
    """Spans of recalls that asked the index."""
    return [s for s in collector.spans if s["name"] == "POST /v1/recall" and "facet.search_ms" in s]
