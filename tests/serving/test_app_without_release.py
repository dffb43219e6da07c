"""The app without a release: what is refused, what is away, and its documentation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from pydantic import SecretStr

from features.release import open_registry
from features.settings import Settings
from serving.app import create_app
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.settings import ServingSettings
from tests.serving.users import parts_of, timed

KEY = {"X-API-Key": "secret"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def client(settings: Settings, **parts: object) -> TestClient:
    metrics = Metrics()
    live = LiveRecaller(settings, ServingSettings(), metrics=metrics, users=timed())
    return TestClient(create_app(replace(parts_of(settings, live, metrics), **parts)))


def test_what_the_limits_refuse_is_counted_and_has_an_id(settings: Settings) -> None:
    app = client(settings, rate_limit="2/hour")
    replies = [app.post("/v1/recall", content=b"x" * 3_000_000) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [413, 413, 429]
    assert len({reply.headers["x-request-id"] for reply in replies}) == 3
    text = app.get("/metrics").text
    assert 'facet_requests_total{status="413",strategy="none"} 2.0' in text
    assert 'facet_requests_total{status="429",strategy="none"} 1.0' in text


def test_the_documentation_of_the_api_loads_nothing_from_elsewhere(settings: Settings) -> None:
    app = client(settings)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', app.get("/docs").text)
    assert len(loaded) >= 2
    assert {app.get(path).status_code for path in loaded if path.startswith("/")} == {200}
    assert all(path.startswith("/") for path in loaded), loaded


def test_a_database_that_is_away_is_no_bug(settings: Settings) -> None:
    admin = client(settings, admin_key=SecretStr("secret"))
    admin.post("/v1/videos:offline", json={"video_ids": [4]}, headers=KEY)
    with open_registry(settings).begin() as connection:
        connection.execute(sa.text("DROP TABLE offline_videos"))
    reply = admin.post("/v1/videos:offline", json={"video_ids": [5]}, headers=KEY)
    assert reply.status_code == 503
    assert "check FACET_DATABASE_URL" in reply.json()["detail"]
