"""The list of offline videos: in the database, known to every process that looks, behind a key."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from features.release import open_registry, registry_time
from features.settings import Settings
from serving.admin import admin_router
from serving.offline import OFFLINE, OfflineVideos

KEY = {"X-API-Key": "secret"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def client(settings: Settings, key: str | None = "secret") -> TestClient:
    app = FastAPI()
    app.include_router(admin_router(OfflineVideos(settings), SecretStr(key) if key else None))
    return TestClient(app)


def test_another_process_knows_when_it_looks_again_and_a_new_one_from_the_start(settings: Settings) -> None:
    ours, theirs = OfflineVideos(settings), OfflineVideos(settings)
    ours.hide([5, 3, 5])
    ours.hide([3, 9])
    assert ours.ids.tolist() == [3, 5, 9]
    assert theirs.ids.tolist() == []
    theirs.refresh()
    assert theirs.ids.tolist() == [3, 5, 9]
    theirs.show([5, 77])
    ours.refresh()
    assert ours.ids.tolist() == [3, 9]


def check_two_may_hide_the_same_video(settings: Settings) -> None:
    """One has written it and not committed yet, when the other begins."""
    ours = OfflineVideos(settings)
    ours.refresh()
    with ThreadPoolExecutor(1) as thread:
        with open_registry(settings).begin() as theirs:
            theirs.execute(sa.insert(OFFLINE), {"video_id": 4, "since": registry_time()})
            hiding = thread.submit(ours.hide, [4, 5])
            with pytest.raises(TimeoutError):
                hiding.result(0.5)
        hiding.result()
    assert ours.ids.tolist() == [4, 5]


def test_two_may_hide_the_same_video_at_the_same_moment(settings: Settings) -> None:
    check_two_may_hide_the_same_video(settings)


def test_a_process_starts_without_the_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    offline = OfflineVideos(Settings(home=tmp_path / "file" / "home"))
    offline.refresh()
    assert offline.ids.tolist() == []


def test_a_database_that_is_away_leaves_what_was_known(settings: Settings) -> None:
    offline = OfflineVideos(settings)
    offline.hide([3])
    with open_registry(settings).begin() as connection:
        connection.execute(sa.text("DROP TABLE offline_videos"))
    offline.refresh()
    assert offline.ids.tolist() == [3]


def test_the_routes_change_the_list(settings: Settings) -> None:
    admin = client(settings)
    body = {"video_ids": [4, 2]}
    assert admin.post("/v1/videos:offline", json=body, headers=KEY).json() == {"video_ids": [2, 4]}
    body = {"video_ids": [4]}
    assert admin.post("/v1/videos:online", json=body, headers=KEY).json() == {"video_ids": [2]}
    assert admin.get("/v1/videos:offline", headers=KEY).json() == {"video_ids": [2]}


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "Secret"}, {"X-API-Key": "secret "}])
def test_without_the_key_nothing_changes(settings: Settings, headers: dict[str, str]) -> None:
    answer = client(settings).post("/v1/videos:offline", json={"video_ids": [4]}, headers=headers)
    assert answer.status_code == 401
    assert OfflineVideos(settings).ids.tolist() == []


def test_a_key_may_be_in_any_letters(settings: Settings) -> None:
    own = {"X-API-Key": "schlüssel-ключ".encode()}
    assert client(settings, key="schlüssel-ключ").get("/v1/videos:offline", headers=own).status_code == 200


def test_without_a_key_in_the_settings_nobody_may(settings: Settings) -> None:
    answer = client(settings, key=None).get("/v1/videos:offline", headers=KEY)
    assert answer.status_code == 403
    assert "FACET_ADMIN_KEY" in answer.json()["detail"]
