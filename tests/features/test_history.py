from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from features.history import History, pad_histories, user_histories, user_seen
from features.lake import connect
from features.positives import Action
from features.vocabulary import Vocabulary

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR_US = 3_600_000_000
NOON_US = int(NOON.timestamp()) * 1_000_000


def plays(*rows: tuple[int, int, int, int]) -> duckdb.DuckDBPyRelation:
    """(user, video, hours after noon, actions), in the order of their event ids."""
    values = ", ".join(
        f"({user}, {video}, to_timestamp({NOON_US / 1e6} + {hour} * 3600), 'e{i}', '2026-03-02', {actions})"
        for i, (user, video, hour, actions) in enumerate(rows)
    )
    names = "user_id, video_id, event_time, event_id, landing_day, actions"
    return connect().sql(f"SELECT * FROM (VALUES {values}) AS plays({names})")


def test_a_history_holds_the_newest_watches_oldest_first() -> None:
    watches = plays((1, 10, -3, 0), (1, 11, -1, 1), (1, 12, -2, 2), (2, 13, -5, 0))
    assert user_histories(watches, NOON, length=2).fetchall() == [
        (1, [12, 11], [NOON_US - 2 * HOUR_US, NOON_US - HOUR_US], [2, 1]),
        (2, [13], [NOON_US - 5 * HOUR_US], [0]),
    ]


def test_the_moment_itself_and_the_future_are_not_history() -> None:
    watches = plays((1, 10, -1, 0), (1, 11, 0, 1), (1, 12, 1, 1))
    assert [row[1] for row in user_histories(watches, NOON).fetchall()] == [[10]]
    assert [row[1] for row in user_seen(watches, NOON).fetchall()] == [[10]]


def test_watches_of_the_same_moment_are_ordered_by_event_id() -> None:
    watches = plays((1, 10, -1, 0), (1, 11, -1, 0), (1, 12, -1, 0))
    assert [row[1] for row in user_histories(watches, NOON, length=2).fetchall()] == [[11, 12]]


def test_seen_keeps_dislikes_beyond_its_length() -> None:
    watches = plays(
        (1, 10, -9, Action.DISLIKED), (1, 11, -8, 0), (1, 13, -3, 1), (1, 12, -2, 1), (1, 12, -1, 1)
    )
    assert user_seen(watches, NOON, length=3).fetchall() == [(1, [10, 12, 13])]


def test_padding_is_on_the_left_and_unknown_videos_are_counted() -> None:
    histories = [
        History([7, 99, 8], [NOON_US - 48 * HOUR_US, NOON_US, NOON_US - 24 * HOUR_US], [1, 2, 4]),
        History([], [], []),
    ]
    batch = pad_histories(histories, Vocabulary(np.array([8, 7])), length=3, now=NOON)
    assert batch.video_rows.tolist() == [[0, 2, 1], [0, 0, 0]]
    assert batch.actions.tolist() == [[0, 1, 4], [0, 0, 0]]
    assert batch.age_days.tolist() == [[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]]
    assert batch.num_unknown == 1


def test_only_the_newest_known_videos_are_kept() -> None:
    history = History([7, 8, 7, 8], [1, 2, 3, 4], [1, 2, 3, 4])
    batch = pad_histories([history], Vocabulary(np.array([7, 8])), length=2, now=NOON)
    assert batch.actions.tolist() == [[3, 4]]


def test_a_watch_after_now_has_age_zero() -> None:
    history = History([7], [NOON_US + HOUR_US], [0])
    batch = pad_histories([history], Vocabulary(np.array([7])), length=1, now=NOON)
    assert batch.age_days.tolist() == [[0.0]]


def test_rows_start_at_one_and_unknown_ids_get_the_padding_row() -> None:
    vocabulary = Vocabulary(np.array([30, 0, 20]))
    assert vocabulary.rows_of(np.array([0, 20, 30, 31, -1])).tolist() == [2, 3, 1, 0, 0]
    assert Vocabulary(np.array([], dtype=np.int64)).rows_of(np.array([5])).tolist() == [0]
    assert Vocabulary.from_table(vocabulary.to_table().take([2, 0, 1])).video_ids.tolist() == [30, 0, 20]


def test_an_id_cannot_have_two_rows() -> None:
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(np.array([1, 2, 1]))
