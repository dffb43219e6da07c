"""What is read from the lake: cut by time, in the same histories as the feature store, exactly counted."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features import schema
from features.errors import BadInputError
from features.history import user_histories, user_seen, watches_with_actions
from features.lake import Lake, connect
from features.positives import Action, PositiveRule
from features.settings import Settings
from tests.training.logs import at, video, watch, write_log
from training.dataset import IdLists, WatchLog

RULE = PositiveRule()
VIDEOS = [video(v, v % 2) for v in (1, 2, 3, 4)]
WATCHES = [
    watch(10, 1, 0.5),
    watch(10, 2, 1.5, long_watch=False),
    watch(10, 3, 2.5),  # after the cut
    watch(11, 2, 0.2),
    watch(11, 1, 0.1),
    watch(12, 4, 2.1),  # only after the cut
]
CUT = 2.0


@pytest.fixture
def log(tmp_path: Path) -> WatchLog:
    return WatchLog(write_log(Settings(home=tmp_path), WATCHES, VIDEOS), at(3), RULE)


def test_sequences_hold_what_lies_before_the_cut_oldest_first(log: WatchLog) -> None:
    sequences = log.sequences(at(CUT), length=100)
    assert sequences.user_ids.tolist() == [10, 11]
    assert sequences.offsets.tolist() == [0, 2, 4]
    assert sequences.video_ids.tolist() == [1, 2, 1, 2]
    assert sequences.actions.tolist() == [Action.POSITIVE, 0, Action.POSITIVE, Action.POSITIVE]


def test_only_the_newest_watches_are_kept(log: WatchLog) -> None:
    assert log.sequences(at(CUT), length=1).video_ids.tolist() == [2, 2]


def test_histories_are_empty_for_users_without_watches(log: WatchLog) -> None:
    known, unknown = log.sequences(at(CUT), length=100).histories(np.array([11, 12]))
    assert np.asarray(known.video_ids).tolist() == [1, 2]
    assert len(unknown.video_ids) == 0


def test_seen_holds_every_outcome(log: WatchLog) -> None:
    places, ids = log.seen(at(CUT)).pairs(np.array([10, 12, 11]))
    assert list(zip(places.tolist(), ids.tolist(), strict=True)) == [(0, 1), (0, 2), (2, 1), (2, 2)]


def test_targets_are_new_positives_of_known_videos(tmp_path: Path) -> None:
    watches = [
        *WATCHES,
        watch(10, 2, 2.6),  # positive now, but watched before the window
        watch(11, 3, 2.7, long_watch=False),  # no positive
        watch(11, 4, 2.8),
        watch(11, 4, 2.9),  # the same target again
        watch(11, 99, 2.9),  # not in the snapshot of the videos
    ]
    log = WatchLog(write_log(Settings(home=tmp_path), watches, VIDEOS), at(3), RULE)
    targets = log.targets(at(CUT), at(3))
    assert targets.keys.tolist() == [10, 11, 12]
    assert targets.offsets.tolist() == [0, 1, 2, 3]
    assert targets.ids.tolist() == [3, 4, 4]


def test_nothing_at_or_after_the_end_is_read(tmp_path: Path) -> None:
    log = WatchLog(write_log(Settings(home=tmp_path), WATCHES, VIDEOS), at(CUT), RULE)
    source = log.source()
    assert (source.num_watches, source.num_positives, source.num_users) == (4, 3, 2)
    assert (source.first_day, source.last_day) == ("2026-03-01", "2026-03-02")


def test_videos_come_with_most_positives_first(log: WatchLog) -> None:
    # Before the cut: video 1 has two positives, video 2 one of two watches.
    assert log.watched_videos(at(CUT), min_watches=1).tolist() == [1, 2]
    assert log.watched_videos(at(3), min_watches=1).tolist() == [1, 2, 3, 4]
    assert log.watched_videos(at(3), min_watches=2).tolist() == [1, 2]


def test_segments_come_from_the_profiles(tmp_path: Path) -> None:
    users = [{"user_id": 10, "segment": "young"}, {"user_id": 11, "segment": None}]
    log = WatchLog(write_log(Settings(home=tmp_path), WATCHES, VIDEOS, users), at(3), RULE)
    assert log.segments() == {10: "young"}


def test_no_watch_before_the_moment_is_a_clear_error(tmp_path: Path) -> None:
    lake = write_log(Settings(home=tmp_path), WATCHES, VIDEOS)
    with pytest.raises(BadInputError, match="no watch before"):
        WatchLog(lake, at(0.05), RULE)


def test_null_lists_are_empty() -> None:
    table = pa.table({"video_id": [3, 5, 8], "tag_ids": pa.array([[1, 2], None, [7]], pa.list_(pa.int64()))})
    places, tags = IdLists.from_columns(table["video_id"], table["tag_ids"]).pairs(np.array([8, 5, 4, 3]))
    assert (places.tolist(), tags.tolist()) == ([0, 3, 3], [7, 1, 2])


def test_training_reads_what_the_feature_store_would_hold(tmp_path: Path, log: WatchLog) -> None:
    lake, connection = Lake(Settings(home=tmp_path)), connect()
    curated, videos = (lake.scan(connection, table) for table in (schema.WATCHES, schema.VIDEOS))
    watches = watches_with_actions(curated, videos, RULE)
    histories = user_histories(watches, at(CUT)).fetchall()
    found = log.sequences(at(CUT), length=100).histories(np.array([row[0] for row in histories]))
    assert [np.asarray(history.video_ids).tolist() for history in found] == [row[1] for row in histories]
    for user_id, ids in user_seen(watches, at(CUT)).fetchall():
        assert log.seen(at(CUT)).pairs(np.array([user_id]))[1].tolist() == ids
