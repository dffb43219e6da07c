"""The videos of today in every kept release: upserts into Milvus, and what serving knows of them at once."""

from typing import Any

import numpy as np
import pytest

from features.filters import VideoFilters
from features.settings import Settings
from features.user_features import UserFeatures
from serving.errors import PublishConflictError, RenewalError
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.milvus import MilvusConnection
from serving.publish import publish, rollback
from serving.publisher_lock import publisher_lock
from serving.renewal import Renewal, renew_catalogue
from serving.settings import ServingSettings
from serving.upserts import OnBatch, Synced, nothing_to_do
from tests.serving.bundles import (
    VIDEO_IDS,
    snapshot_videos,
    unit_vectors,
    write_interests,
    write_ranking,
    write_snapshot,
)
from tests.serving.test_publish_channels import Registered
from tests.serving.users import POSITIVE, timed, user

pytestmark = pytest.mark.server
FIRST, SECOND = "2026-01-21", "2026-01-22"
COOKING = {"video_id": 60, "uploader_id": 7, "tag_ids": [1, 6], "duration_seconds": 9.0}
COOK = user(1, [(10, POSITIVE)])
"""Interest (1, 0): finds 60 (1.0), 30 (.9), 50 (.6), 40 (.2), 20 (0)."""


class Home:
    """A home with published releases and a serving process that follows them."""

    def __init__(self, settings: Settings, milvus: ServingSettings) -> None:
        self.settings, self.milvus = settings, milvus
        self.store = Registered()
        write_snapshot(settings, FIRST, snapshot_videos())

    def publish(self, version: str = "v1", **options: object) -> str:
        bundles = [write_interests(self.settings, version, **({"has_fields": True} | options))]  # type: ignore[arg-type]
        if version == "v1":
            bundles.append(write_ranking(self.settings, {None: [30, 60, 40, 70]}))
        return publish(bundles, settings=self.settings, serving_settings=self.milvus, store=self.store)

    def renew(
        self, *videos: dict[str, Any], without: tuple[int, ...] = (), on_batch: OnBatch = nothing_to_do
    ) -> Renewal:
        write_snapshot(self.settings, SECOND, snapshot_videos(*videos, without=without))
        return renew_catalogue(settings=self.settings, serving_settings=self.milvus, on_batch=on_batch)

    def follow(self, own: UserFeatures = COOK) -> LiveRecaller:
        live = LiveRecaller(self.settings, self.milvus, metrics=Metrics(), users=timed(own))
        live.refresh()
        return live

    def rows(self, collection: str = "videos_tiny_v1") -> dict[int, dict[str, Any]]:
        with MilvusConnection(self.milvus).translating("reading") as client:
            found = client.query(collection, filter="video_id >= 0", limit=9999, output_fields=["*"])
        return {row["video_id"]: row for row in found}


@pytest.fixture
def home(settings: Settings, milvus: ServingSettings) -> Home:
    return Home(settings, milvus)


def ids(live: LiveRecaller, top_n: int = 9) -> list[int]:
    return [candidate.video_id for candidate in live.recaller.recall(1, top_n).candidates]


def test_a_new_video_is_found_by_a_process_that_was_running_before_it_came(home: Home) -> None:
    home.publish()
    live = home.follow()
    before = live.recaller
    assert ids(live, 2) == [30, 50]
    renewal = home.renew(COOKING)
    assert renewal == Renewal(SECOND, {"tiny/v1": Synced(6, 1, 0)})
    assert live.refresh() is False, "it is the same release"
    first = live.recaller.recall(1, 2).candidates[0]
    assert (first.video_id, first.tags, first.uploader) == (60, (1, 6), 7)
    assert live.durations([60, 20, 10]) == [9.0, None, 10.0]
    short = live.recaller.recall(1, 9, filters=VideoFilters(max_duration_seconds=9.5)).candidates
    assert [candidate.video_id for candidate in short] == [60], "popular videos that nobody knows do not pass"
    assert live.recaller.similar(60, 1)[0].video_id == 10
    assert live.recaller is not before
    unchanged = live.recaller
    live.refresh()
    assert live.recaller is unchanged, "nothing new, nothing opened"


def test_what_is_gone_or_offline_is_shown_by_nobody(home: Home) -> None:
    home.publish()
    live = home.follow()
    assert ids(live) == [30, 50, 40, 20], "60 and 70 are popular, but no snapshot lists them"
    offline = [{"video_id": 50, "is_online": False}, {"video_id": 70, "uploader_id": 1, "is_online": False}]
    renewal = home.renew(*offline, without=(30,))
    assert renewal.bundles["tiny/v1"] == Synced(3, 0, 2)
    live.refresh()
    assert ids(live) == [40, 20]
    assert sorted(home.rows()) == [10, 20, 40]


def test_a_popular_video_is_shown_as_soon_as_a_snapshot_lists_it(home: Home) -> None:
    home.publish()
    live = home.follow(user(1))
    assert ids(live) == [30, 40, 10, 20, 50]
    home.renew({"video_id": 70, "uploader_id": 99, "tag_ids": [5], "duration_seconds": 5.0})
    live.refresh()
    assert ids(live) == [30, 40, 70, 10, 20, 50], "nothing that makes a vector is known of it"
    short = live.recaller.recall(1, 9, filters=VideoFilters(max_duration_seconds=9.5)).candidates
    assert [candidate.video_id for candidate in short] == [70]


def test_changed_attributes_reach_the_index_and_the_answer(home: Home) -> None:
    home.publish()
    live = home.follow()
    home.renew({"video_id": 30, "tag_ids": [8], "category": "news"})
    live.refresh()
    assert live.recaller.recall(1, 1).candidates[0].tags == (8,)
    assert list(home.rows()[30]["tag_ids"]) == [8]
    found = live.recaller.recall(1, 9, filters=VideoFilters(categories=("news",))).candidates
    assert [candidate.video_id for candidate in found] == [30]


def test_the_same_again_writes_nothing(home: Home) -> None:
    home.publish()
    home.renew(COOKING)
    assert home.renew(COOKING).bundles["tiny/v1"] == Synced(6, 0, 0)


def test_every_kept_release_has_the_videos_so_a_rollback_finds_them(home: Home) -> None:
    home.publish("v1")
    home.publish("v2")
    assert {name: done.num_upserted for name, done in home.renew(COOKING).bundles.items()} == {
        "tiny/v1": 1,
        "tiny/v2": 1,
    }
    live = home.follow()
    rollback(settings=home.settings, serving_settings=home.milvus)
    live.refresh()
    assert ids(live, 1) == [60]


def test_a_damaged_bundle_does_not_keep_withdrawn_videos_in_the_other_releases(home: Home) -> None:
    home.publish("v1")
    home.publish("v2")
    (home.settings.bundles / "tiny/v1/manifest.json").write_text("{}")
    with pytest.raises(RenewalError, match=r"all others are: tiny/v1: .*manifest\.json"):
        home.renew(COOKING, without=(30,))
    assert sorted(home.rows("videos_tiny_v2")) == [10, 20, 40, 50, 60]
    assert sorted(home.rows("videos_tiny_v1")) == [10, 20, 30, 40, 50]


def test_publish_brings_the_newest_videos(home: Home) -> None:
    write_snapshot(home.settings, SECOND, snapshot_videos(COOKING, without=(30,)))
    home.publish()
    assert ids(home.follow(), 2) == [60, 50]
    assert home.renew(COOKING, without=(30,)).bundles["tiny/v1"] == Synced(5, 0, 0)


def test_a_row_that_the_index_lost_comes_back(home: Home) -> None:
    home.publish()
    with MilvusConnection(home.milvus).translating("losing") as client:
        client.delete("videos_tiny_v1", ids=[30])
    assert home.renew().bundles["tiny/v1"] == Synced(5, 1, 0)


class Killed(BaseException):
    """Stands for a kill: nothing in the code may catch it."""


def dying_after(num_batches: int) -> OnBatch:
    left = iter(range(num_batches - 1))

    def on_batch() -> None:
        if next(left, None) is None:
            raise Killed

    return on_batch


def test_a_run_that_was_killed_goes_on_where_it_stopped(home: Home) -> None:
    home.publish()
    new = [COOKING | {"video_id": 1000 + i} for i in range(4500)]  # batches of 2,000
    with pytest.raises(Killed):
        home.renew(*new, on_batch=dying_after(1))
    assert len(home.rows()) == 2005
    live = home.follow()
    first = live.recaller.recall(1, 1).candidates[0]
    assert first.video_id >= 1000
    assert first.tags == (1, 6), "what is in the index is known"
    assert home.renew(*new).bundles["tiny/v1"] == Synced(4505, 2500, 0)


def test_what_is_gone_is_shown_by_nobody_while_the_index_still_holds_it(home: Home) -> None:
    home.publish()
    with pytest.raises(Killed):
        home.renew(COOKING, without=(30,), on_batch=dying_after(1))
    assert {30, 60} < home.rows().keys(), "killed between the upsert and the delete"
    live = home.follow()
    assert ids(live) == [60, 50, 40, 20]
    assert [candidate.video_id for candidate in live.recaller.similar(10, 3)] == [60, 50]


def test_who_watched_new_videos_alone_is_known_and_what_nobody_knows_is_counted(home: Home) -> None:
    home.publish()
    home.renew(COOKING)
    live = home.follow(user(1, [(777, POSITIVE), (60, POSITIVE)]))
    result = live.recaller.recall(1, 2)
    assert [candidate.video_id for candidate in result.candidates] == [10, 30], "as if 10 had been watched"
    assert result.tally.num_unknown == 1


def test_a_bundle_without_side_features_keeps_its_videos(home: Home) -> None:
    vectors = unit_vectors(len(VIDEO_IDS), 2)
    home.publish(has_fields=False, vectors=vectors)
    assert home.renew(COOKING).bundles["tiny/v1"] == Synced(5, 0, 0)
    stored = home.rows()
    np.testing.assert_array_equal([stored[i]["vector"] for i in VIDEO_IDS.tolist()], vectors)
    live = home.follow()
    assert live.durations([60]) == [9.0], "its attributes are known, for whoever else finds it"


def test_nobody_renews_while_somebody_publishes(home: Home) -> None:
    home.publish()
    with publisher_lock(home.settings), pytest.raises(PublishConflictError, match="wait for it"):
        home.renew(COOKING)


def test_before_the_first_release_or_snapshot_there_is_nothing_to_do(
    settings: Settings, milvus: ServingSettings
) -> None:
    assert renew_catalogue(settings=settings, serving_settings=milvus) == Renewal(None)
    write_snapshot(settings, FIRST, snapshot_videos())
    assert renew_catalogue(settings=settings, serving_settings=milvus) == Renewal(FIRST)
