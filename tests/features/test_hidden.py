"""Which videos nobody is shown, over the five videos of ``tests/serving/bundles.py``."""

from features.bundle import open_bundle
from features.days import end_of
from features.hidden import hidden_videos, unlisted_videos
from features.live_items import LiveItems, items_at
from features.merge_config import INTERESTS, POPULAR
from features.overlay import overlay_path
from features.settings import Settings
from tests.serving.bundles import (
    snapshot_videos,
    write_interests,
    write_neighbours,
    write_ranking,
    write_snapshot,
)

FIRST, SECOND = "2026-01-21", "2026-01-22"
COOKING = {"video_id": 60, "uploader_id": 7, "tag_ids": [1], "duration_seconds": 9.0}


def test_the_catalogue_is_the_bundle_and_the_snapshot_of_the_moment(settings: Settings) -> None:
    bundles = {
        INTERESTS: open_bundle(write_interests(settings, has_fields=True)),
        POPULAR: open_bundle(write_ranking(settings, {None: [30, 60, 70], "young": [80, 70]})),
        "cooc": open_bundle(write_neighbours(settings, {(10, 20): 1.0})),
    }
    trained = {INTERESTS: LiveItems(bundles[INTERESTS])}
    assert unlisted_videos(bundles, trained[INTERESTS]).tolist() == [60, 70, 80]
    assert hidden_videos(bundles, trained).tolist() == [], "without a snapshot nothing is known of anything"
    assert hidden_videos(bundles, {}).tolist() == []
    write_snapshot(settings, FIRST, snapshot_videos())
    write_snapshot(settings, SECOND, snapshot_videos(COOKING, without=(40,)))
    first, second = (items_at(bundles, end_of(day), settings) for day in (FIRST, SECOND))
    assert hidden_videos(bundles, first).tolist() == [60, 70, 80]
    assert hidden_videos(bundles, second).tolist() == [40, 70, 80]
    assert first[INTERESTS].video_ids.tolist() == [10, 20, 30, 40, 50]
    assert second[INTERESTS].indexed.video_ids.tolist() == [10, 20, 30, 50, 60]
    assert not overlay_path(settings, bundles[INTERESTS].name).exists(), "looking writes nothing"
