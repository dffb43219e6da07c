"""What the newest videos change in a bundle, over the five videos of ``tests/serving/bundles.py``."""

from typing import Any

import numpy as np
import pytest

from features.bundle import Bundle, open_bundle
from features.live_items import LiveItems
from features.overlay import (
    drop_overlays,
    overlay_path,
    overlay_stamps,
    read_overlay,
    read_snapshot,
    renew_overlay,
)
from features.settings import Settings
from tests.serving.bundles import VECTORS, snapshot_videos, write_interests, write_snapshot, write_stored

FIRST, SECOND = "2026-01-21", "2026-01-22"
COOKING = {"video_id": 60, "uploader_id": 7, "tag_ids": [1], "duration_seconds": 9.0}
STRANGE = {"video_id": 61, "uploader_id": 99, "tag_ids": [5]}


def bundle(settings: Settings, *, has_fields: bool = True) -> Bundle:
    write_snapshot(settings, FIRST, snapshot_videos())
    return open_bundle(write_interests(settings, has_fields=has_fields))


def renewed(
    settings: Settings, own: Bundle, *videos: dict[str, Any], without: tuple[int, ...] = ()
) -> LiveItems:
    write_snapshot(settings, SECOND, snapshot_videos(*videos, without=without))
    snapshot = read_snapshot(settings)
    assert snapshot is not None
    return LiveItems(own, renew_overlay(settings, own, snapshot))


def test_an_unchanged_snapshot_changes_nothing(settings: Settings) -> None:
    live = renewed(settings, bundle(settings))
    assert (live.video_ids.tolist(), live.hidden.tolist(), live.day) == ([10, 20, 30, 40, 50], [], SECOND)
    np.testing.assert_array_equal(live.indexed.vectors, VECTORS)
    assert read_overlay(settings, "tiny/v1").num_rows == 0


def test_a_new_video_comes_behind_the_others_with_the_vector_of_its_uploader(settings: Settings) -> None:
    live = renewed(settings, bundle(settings), COOKING)
    assert live.video_ids.tolist() == [10, 20, 30, 40, 50, 60]
    assert live.indexed.vectors[-1].tolist() == [1.0, 0.0]
    assert live.items.to_pylist()[-1]["duration_seconds"] == 9.0


def test_a_new_video_in_a_history_is_read_as_the_known_one_that_is_most_like_it(settings: Settings) -> None:
    own = bundle(settings)
    live = renewed(settings, own, COOKING, STRANGE, {"video_id": 62, "uploader_id": 9})
    # 60 cooks as 10 does, 62 does both; nearest to (.6, .6) by inner product: 50 (.72), before 10 (.6).
    ids = np.array([60, 10, 61, 62, 777])
    assert live.history_vocabulary.rows_of(ids).tolist() == [1, 1, 0, 5, 0]
    assert own.vocabulary.rows_of(ids).tolist() == [0, 1, 0, 0, 0]
    renewed(settings, own, COOKING, STRANGE, {"video_id": 62, "uploader_id": 8})
    again = LiveItems.read(own, settings).history_vocabulary
    assert again.rows_of(ids).tolist() == [1, 1, 0, 2, 0], "60 did not change and keeps its stand-in"


def test_a_video_of_which_too_little_is_known_has_attributes_and_is_not_searched(settings: Settings) -> None:
    live = renewed(settings, bundle(settings), STRANGE)
    assert live.video_ids.tolist() == [10, 20, 30, 40, 50, 61]
    assert live.items["tag_ids"].to_pylist()[-1] == [5]
    assert live.indexed.video_ids.tolist() == [10, 20, 30, 40, 50]
    assert not live.vectors[-1].any()


def test_without_side_features_new_videos_have_attributes_alone(settings: Settings) -> None:
    live = renewed(settings, bundle(settings, has_fields=False), COOKING)
    assert live.video_ids.tolist()[-1] == 60
    assert live.indexed.video_ids.tolist() == [10, 20, 30, 40, 50]


def test_a_known_video_with_other_attributes_keeps_its_place_and_its_vector(
    settings: Settings,
) -> None:
    live = renewed(settings, bundle(settings), {"video_id": 20, "tag_ids": [3], "uploader_id": 7})
    assert live.video_ids.tolist() == [10, 20, 30, 40, 50]
    assert live.items["tag_ids"].to_pylist() == [[1], [3], [1], [2], [1, 2]]
    np.testing.assert_array_equal(live.indexed.vectors, VECTORS)  # this encoder knows 20 by its row


def test_what_is_offline_or_gone_is_hidden_and_what_was_never_listed_is_not(settings: Settings) -> None:
    own = open_bundle(write_interests(settings, has_fields=True))
    write_snapshot(settings, FIRST, snapshot_videos({"video_id": 70, "uploader_id": 1}, without=(50,)))
    live = renewed(settings, own, {"video_id": 10, "is_online": False}, without=(30, 50))
    assert live.hidden.tolist() == [10, 30, 70], "70 is hidden whoever finds it"
    assert live.video_ids.tolist() == live.indexed.video_ids.tolist() == [20, 40, 50]
    assert live.indexed.items["video_id"].to_pylist() == [20, 40, 50]
    np.testing.assert_array_equal(live.vectors, VECTORS[[1, 3, 4]])


def test_a_video_that_is_online_again_is_shown_again(settings: Settings) -> None:
    own = bundle(settings)
    assert renewed(settings, own, without=(30,)).hidden.tolist() == [30]
    assert renewed(settings, own).hidden.tolist() == []


def test_the_same_snapshot_again_touches_nothing_and_another_one_does(settings: Settings) -> None:
    own = bundle(settings)
    renewed(settings, own, COOKING)
    stamps = overlay_stamps(settings, ["tiny/v1", "tiny/v2"])
    assert stamps[1] is None
    renewed(settings, own, COOKING)
    assert overlay_stamps(settings, ["tiny/v1", "tiny/v2"]) == stamps
    renewed(settings, own, COOKING, STRANGE)
    assert overlay_stamps(settings, ["tiny/v1", "tiny/v2"]) != stamps


def test_a_new_video_that_changes_gets_another_vector(settings: Settings) -> None:
    own = bundle(settings)
    renewed(settings, own, COOKING)
    live = renewed(settings, own, COOKING | {"uploader_id": 8})
    assert live.indexed.vectors[-1].tolist() == [0.0, 1.0]


def test_stored_interests_learn_attributes_alone(settings: Settings) -> None:
    write_snapshot(settings, FIRST, snapshot_videos())
    live = renewed(settings, open_bundle(write_stored(settings, {1: [[1.0, 0.0]]})), COOKING, without=(40,))
    assert live.video_ids.tolist() == [10, 20, 30, 50, 60]
    assert live.indexed.video_ids.tolist() == [10, 20, 30, 50]


def test_an_earlier_day_is_the_catalogue_of_then(settings: Settings) -> None:
    own = bundle(settings)
    renewed(settings, own, COOKING)
    snapshot = read_snapshot(settings, FIRST)
    assert snapshot is not None
    assert LiveItems(own, renew_overlay(settings, own, snapshot)).video_ids.tolist() == [10, 20, 30, 40, 50]


def test_a_home_without_videos_has_no_snapshot(settings: Settings) -> None:
    assert read_snapshot(settings) is None


@pytest.mark.parametrize(("kept", "is_there"), [(["tiny/v1"], True), ([], False)])
def test_overlays_of_bundles_that_nobody_keeps_are_dropped(
    settings: Settings, kept: list[str], is_there: bool
) -> None:
    renewed(settings, bundle(settings), COOKING)
    drop_overlays(settings, kept)
    assert overlay_path(settings, "tiny/v1").exists() == is_there
