"""What pages share: assets with their sums, errors as pages, figures, and who gets in."""

import base64
import re

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from plotly import graph_objects
from pydantic import SecretStr

from features.settings import Settings
from serving.app import create_app
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.pages.access import PageAccess
from serving.pages.layout import PLOTLY, asset_path, figure, page
from serving.settings import ServingSettings
from tests.serving.users import parts_of, timed

BROWSER = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def client(settings: Settings) -> TestClient:
    metrics = Metrics()
    live = LiveRecaller(settings, ServingSettings(), metrics=metrics, users=timed())
    app = create_app(parts_of(settings, live, metrics))
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def test_an_asset_is_kept_for_ever_and_only_served_under_its_sum(client: TestClient) -> None:
    reply = client.get(asset_path("facet.css"))
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in reply.headers["cache-control"]
    assert (
        client.get(re.sub("/static/.{16}", "/static/" + "0" * 16, asset_path("facet.css"))).status_code == 404
    )
    assert client.get("/static/x/..%2Flayout.py").status_code == 404


def test_plotly_comes_from_the_installed_package_packed_if_the_browser_can_unpack(client: TestClient) -> None:
    packed = client.get(asset_path(PLOTLY))
    plain = client.get(asset_path(PLOTLY), headers={"accept-encoding": "identity"})
    assert packed.text == plain.text
    assert "plotly.js v" in plain.text[:200]
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2


def test_an_error_is_a_page_for_browsers_and_a_problem_for_programs(client: TestClient) -> None:
    shown, told = client.get("/nowhere", headers=BROWSER), client.get("/nowhere")
    assert (shown.status_code, told.status_code) == (404, 404)
    assert shown.headers["content-type"].startswith("text/html")
    assert "<h1>Not Found</h1>" in shown.text
    assert told.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/release", headers=BROWSER).headers["content-type"] == "application/problem+json"


def test_a_figure_cannot_end_the_element_that_holds_it() -> None:
    made = graph_objects.Figure(graph_objects.Scatter(x=[1], y=[1], text=["</script><b>"]))
    assert "<" not in figure(made)


def key(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("access", "address", "headers", "status"),
    [
        (PageAccess(), "http://127.0.0.1", {}, 200),
        (PageAccess(), "http://localhost:8000", {}, 200),
        (PageAccess(), "http://[::1]:8000", {}, 200),
        (PageAccess(), "http://rebound.example", {}, 404),
        (PageAccess(host="0.0.0.0"), "http://127.0.0.1", {}, 404),
        (PageAccess(host="0.0.0.0", admin_key=SecretStr("")), "http://a.example", key(""), 404),
        (PageAccess(host="0.0.0.0", admin_key=SecretStr("s")), "http://a.example", {}, 401),
        (PageAccess(host="0.0.0.0", admin_key=SecretStr("s")), "http://a.example", key("t"), 401),
        (PageAccess(host="0.0.0.0", admin_key=SecretStr("s")), "http://a.example", key("s"), 200),
        (PageAccess("key", admin_key=SecretStr("s")), "http://127.0.0.1", {}, 401),
        (PageAccess("key", admin_key=SecretStr("s")), "http://127.0.0.1", {"authorization": "Basic é"}, 401),
        (PageAccess("open", host="0.0.0.0"), "http://a.example", {}, 200),
        (PageAccess("off"), "http://127.0.0.1", {}, 404),
    ],
)
def test_pages_are_open_on_loopback_alone(
    access: PageAccess, address: str, headers: dict[str, str], status: int
) -> None:
    app = FastAPI()
    app.get("/page", dependencies=[Depends(access)])(lambda: "a history")
    coded = {name: value.encode("utf-8") for name, value in headers.items()}
    assert TestClient(app, base_url=address).get("/page", headers=coded).status_code == status


@pytest.mark.parametrize(
    ("airflow", "allowed"),
    [
        (None, "'none'"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080 http://localhost:8080"),
        ("https://airflow.example/here", "https://airflow.example"),
    ],
)
def test_airflow_alone_may_show_pages_in_a_frame(airflow: str | None, allowed: str) -> None:
    app = FastAPI()
    access = PageAccess(framed_by=airflow)

    @app.get("/page", dependencies=[Depends(access)])
    def shown(request: Request) -> HTMLResponse:
        return page(request, "error.html", title="Not Found", detail="nothing")

    reply = TestClient(app, base_url="http://127.0.0.1").get("/page")
    assert f"frame-ancestors {allowed};" in reply.headers["content-security-policy"]
