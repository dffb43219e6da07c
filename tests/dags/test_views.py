"""Airflow shows the pages of serving, the reports of a home, and what a task did and where to look."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from dags.form import REPORTS
from dags.plugins.facet_views import Reports
from features.settings import Settings
from serving.dag_runs import AirflowApi
from serving.demo_airflow import Json
from serving.settings import ServingSettings
from tests.dags.airflow_home import RunningAirflow, running_airflow, simulate_days
from tests.serving.pages.home import on_a_port, ops_app

pytestmark = [pytest.mark.slow, pytest.mark.server]

WAIT_MS = 60_000
MANY = 30
DAG = "ingest_watch_logs"
OTHER = "clean_up"


def ask(airflow: RunningAirflow, path: str) -> httpx.Response:
    url = airflow.stack.endpoints["api-server"].url
    token = httpx.get(f"{url}/auth/token", timeout=60).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{url}{path}", headers=headers, timeout=60, follow_redirects=True)


def check_navigation(browser: Browser, url: str, serving_url: str) -> None:
    """A person opens the menu and finds the frame with the page of serving."""
    page = browser.new_context().new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Recall explorer").click()
    expect(page.get_by_title("Recall explorer")).to_have_attribute(
        "src", f"{serving_url}/explore", timeout=WAIT_MS
    )
    assert page.url.endswith("/plugin/recall-explorer")
    page.context.close()


def check_operations(browser: Browser, settings: Settings, url: str, run: Json) -> None:
    """The operations page shows the failed run in red, and its link opens that run in Airflow."""
    with on_a_port(ops_app(settings, ServingSettings(airflow_url=url))) as serving_url:
        page = browser.new_context().new_page()
        page.set_default_timeout(WAIT_MS)
        # Airflow has less than a second, a busy machine needs more.
        row = page.get_by_role("region", name="Last DAG runs").get_by_role("row", name=DAG)
        for _ in range(MANY):
            page.goto(f"{serving_url}/ops")
            if row.count():
                break
        expect(row.locator(".badge.bad")).to_have_text("failed")
        row.get_by_role("link", name=DAG).click()
        page.wait_for_url(f"{url}/dags/{DAG}/runs/*")
        assert unquote(page.url).startswith(f"{url}/dags/{DAG}/runs/{run['dag_run_id']}")
        expect(page.get_by_role("link", name="validate").first).to_be_visible(timeout=WAIT_MS)
        page.context.close()


def check_newest_runs(airflow: RunningAirflow, url: str) -> None:
    """Also of a DAG whose runs are all older than what Airflow tells of at once."""
    airflow.client.wait_for_dags([OTHER], timeout_seconds=WAIT_MS / 1000)
    airflow.client.trigger(OTHER, "by-hand", datetime.now(UTC), {})
    api = AirflowApi(url, url, "serving", deadline_seconds=WAIT_MS / 1000, num_runs=1)
    with ThreadPoolExecutor(1) as thread:  # the browser's own loop runs in this one
        found = thread.submit(asyncio.run, api.newest_runs()).result()
    assert [(run.dag_id, run.state) for run in found.runs] == [(OTHER, "queued"), (DAG, "failed")]


def test_reports_are_not_given_to_strangers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_HOME", str(settings.root))
    settings.reports.mkdir(parents=True)
    (settings.reports / "index.html").write_text("rows of users")
    app = FastAPI()
    app.mount(REPORTS, Reports())
    reply = TestClient(app).get(f"{REPORTS}/index.html")
    assert (reply.status_code, "rows of users" in reply.text) == (401, False)


def test_a_red_validation_leads_to_its_data_docs_and_the_navigation_to_the_pages_of_serving(
    tmp_path: Path, browser: Browser
) -> None:
    settings = Settings(home=tmp_path)
    simulate_days(settings, 1)
    with running_airflow(settings, [DAG], more={"FACET_VALIDATION__MAX_SILENT_HOURS": "0.000001"}) as airflow:
        url, serving_url = (airflow.stack.all_endpoints[name].url for name in ("api-server", "serving"))
        serving_url = serving_url.removesuffix("/docs")
        airflow.client.unpause(DAG)  # the schedule ingests yesterday
        [run] = airflow.wait(lambda runs: bool(runs) and runs[0]["state"] == "failed", seconds=240)

        [plugin] = [
            p for p in ask(airflow, "/api/v2/plugins").json()["plugins"] if p["name"] == "facet_views"
        ]
        views = {view["url_route"]: view["href"] for view in plugin["external_views"]}
        assert views == {
            "recall-explorer": f"{serving_url}/explore",
            "recall-operations": f"{serving_url}/ops",
        }
        check_navigation(browser, url, serving_url)
        check_operations(browser, settings, url, run)
        check_newest_runs(airflow, url)

        tasks = {task["task_id"]: task for task in airflow.client.tasks()}
        assert (tasks["stage"]["state"], tasks["validate"]["state"]) == ("success", "failed")
        assert "landing_day" in airflow.client.log_tail(tasks["stage"])
        path = f"/api/v2/dags/{DAG}/dagRuns/{run['dag_run_id']}/taskInstances/validate/links"
        links = ask(airflow, path).json()["extra_links"]
        assert {name for name, link in links.items() if link} == {"Data Docs"}
        assert links["Data Docs"].startswith(f"{url}/facet/reports/data_docs/")
        page = ask(airflow, links["Data Docs"].removeprefix(url))
        assert (page.status_code, "Great Expectations" in page.text) == (200, True)
        assert ask(airflow, "/facet/reports/..%2Fairflow%2Fsecrets.json").status_code == 404
