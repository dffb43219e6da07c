"""The operations page: what it says, in the states that operators meet, and that everybody can use it."""

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from features.settings import Settings
from features.stage import Counts, write_atomically
from features.task_metrics import record, recording
from serving.dag_runs import AirflowApi
from serving.pages.ops import age, ago, length
from serving.publish import publish
from serving.recent_figures import Figures
from serving.settings import ServingSettings
from tests.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    scrolls_sideways,
    serious_findings,
)
from tests.features.landing_rows import DAY
from tests.serving.bundles import write_interests, write_ranking
from tests.serving.pages.home import on_a_port, ops_app


def text_of(app: FastAPI) -> str:
    client = TestClient(app, base_url="http://127.0.0.1")
    return client.get("/ops").raise_for_status().text


def fill(settings: Settings, milvus: ServingSettings) -> None:
    """A release, a committed day with a refused row, and what the gate would leave."""
    rules = {"not JSON": 1}
    counts = Counts(table="watches", landing_day=DAY, read=5, kept=4, duplicate=0, quarantined=1, rules=rules)
    write_atomically(settings.reports / "ingest" / f"{DAY}.jsonl", counts.model_dump_json())
    bundles = [write_interests(settings), write_ranking(settings, {None: [50, 40]})]
    publish(bundles, settings=settings, serving_settings=milvus)
    with recording("train_tiny", settings):
        record("facet_gate_passed", 1, model="tiny")
        record("facet_gate_recall_at_50", 0.2184, model="tiny", side="candidate")


@contextmanager
def airflow_that(status: int, wait_seconds: float = 0.0) -> Iterator[str]:
    """A server at Airflow's place that answers everything with one status, or late."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(wait_seconds)
            self.send_response(status)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_an_empty_home_says_what_to_do_next(settings: Settings) -> None:
    text = text_of(ops_app(settings, ServingSettings()))
    for sentence in (
        "No release is live yet",
        "Nobody has asked for a recall",
        "No task has run in this home yet",
        "FACET_AIRFLOW_URL",
        "The gate has judged nothing yet",
        "No landing day was committed yet",
    ):
        assert sentence in text
    assert "nan" not in text.lower().replace("finance", "")


@pytest.mark.server
def test_the_page_shows_what_was_counted(settings: Settings, milvus: ServingSettings) -> None:
    fill(settings, milvus)
    app = ops_app(settings, milvus)
    client = TestClient(app, base_url="http://127.0.0.1")
    for user_id in (1, 1, 99):
        client.post("/v1/recall", json={"user_id": user_id, "top_n": 2})
    text = client.get("/ops").raise_for_status().text
    assert client.get("/v1/release").json()["version"] in text
    for part in (
        "3 in all",
        "unknown_user",
        "no features of the user",
        "interests",
        DAY,
        "0.2184",
        "publish",
    ):
        assert part in text
    assert "1 rule" in text


@pytest.mark.server
def test_the_page_can_be_used_by_everybody(
    settings: Settings, milvus: ServingSettings, open_page: OpenPage
) -> None:
    fill(settings, milvus)
    with on_a_port(ops_app(settings, milvus.model_copy(update={"airflow_url": "http://127.0.0.1:9"}))) as url:
        for user_id in (1, 99):
            httpx.post(f"{url}/v1/recall", json={"user_id": user_id}, timeout=20.0).raise_for_status()
        for size, dark in ((DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)):
            page = open_page(f"{url}/ops", size=size, dark=dark)
            assert serious_findings(page) == []
            assert not scrolls_sideways(page)
        assert "is not reachable" in page.inner_text("main")
        page.focus(f"#rules-{DAY} summary")
        page.keyboard.press("Enter")
        assert page.is_visible(f"#rules-{DAY} li")
        page.focus("#follow")
        page.keyboard.press("Enter")
        assert page.inner_text("#follow") == "Keep updating"
        page.keyboard.press("Enter")  # loads at once, and what is open stays open
        assert page.inner_text("#follow") == "Stop updating"
        page.wait_for_load_state("networkidle")
        assert page.is_visible(f"#rules-{DAY} li")


@pytest.mark.server
def test_an_empty_page_is_no_worse(settings: Settings, open_page: OpenPage) -> None:
    with on_a_port(ops_app(settings, ServingSettings())) as url:
        page = open_page(f"{url}/ops", size=PHONE, script=True)
        assert serious_findings(page) == []
        assert not scrolls_sideways(page)
        plain = open_page(f"{url}/ops", script=False)
        assert "Without script" in plain.inner_text("main")
        assert not plain.is_visible("#follow")


def problem_of(airflow: AirflowApi) -> str:
    """Why it shows no runs."""
    with ThreadPoolExecutor(1) as thread:  # the browser's own loop runs in this one
        return thread.submit(asyncio.run, airflow.newest_runs()).result().problem or ""


def test_an_airflow_that_hangs_or_refuses_is_named_in_time() -> None:
    def airflow_at(url: str, seconds: float = 20.0) -> AirflowApi:
        return AirflowApi(url, url, "serving", deadline_seconds=seconds)

    with airflow_that(200, wait_seconds=3.0) as url:
        started = time.monotonic()
        assert "did not answer within 0.2 s" in problem_of(airflow_at(url, 0.2))
        assert time.monotonic() - started < 2.0
    with airflow_that(503) as url:
        assert "status 503" in problem_of(airflow_at(url))
    with airflow_that(200) as url:  # somebody else's server
        assert "is not reachable" in problem_of(airflow_at(url))
    with airflow_that(401) as url:
        airflow = airflow_at(url)
        assert "wants a login: set FACET_AIRFLOW_PASSWORD" in problem_of(airflow)
        assert "wants a login" in problem_of(replace(airflow, token="of yesterday"))
        assert "does not let in serving" in problem_of(replace(airflow, password=SecretStr("wrong")))


def test_figures_are_what_happened_in_between() -> None:
    def bucket(le: str, count: float) -> tuple[tuple[str, tuple[tuple[str, str], ...]], float]:
        return ("t_bucket", (("le", le), ("stage", "total"))), count

    before = dict([bucket("0.1", 50.0), bucket("0.2", 50.0), bucket("+Inf", 50.0)])
    now = dict([bucket("0.1", 60.0), bucket("0.2", 80.0), bucket("+Inf", 90.0)])
    figures = Figures(now, before, 60.0)
    # Of 40 new ones 10 took at most 0.1 s and 20 more at most 0.2 s: the 20th lies halfway between.
    assert figures.quantile(0.5, "t", stage="total") == pytest.approx(0.15)
    assert figures.quantile(0.99, "t", stage="total") == 0.2
    assert math.isnan(figures.quantile(0.5, "t", stage="search"))
    assert figures.total("t_bucket", le="0.2") == 30


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.0, "59 s"),
        (3720.0, "1 h 2 min"),
        (90_061.0, "1 d 1 h"),
        (math.inf, "never"),
        (math.nan, "-"),
    ],
)
def test_ages_are_told_in_two_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_moment_has_one_unit_and_a_length_tenths() -> None:
    assert (ago(3720.0), ago(0.4), length(14.24), length(263.6)) == (
        "1 h ago",
        "0 s ago",
        "14.2 s",
        "4 min 23 s",
    )
