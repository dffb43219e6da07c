"""What was shown how often, packed as it is kept online and counted over the lake: both say the same."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from features.impressions import (
    add_shown,
    capped_by_user,
    capped_videos,
    day_number,
    nothing_shown,
    pack_shown,
    shown_on,
    unpack_shown,
)
from features.lake import connect
from features.merge_config import SHOWN_DAYS, ImpressionCap
from features.schema import SCHEMAS

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = day_number(NOON)
ANSWERS = [
    # (user, days ago, videos by rank)
    (1, 8.0, [10, 11]),
    (1, 1.0, [10, 11, 12]),
    (1, 0.0, [10, 12]),
    (1, 0.1, [13, 10]),
    (2, 0.0, [11]),
]


def kept_of(user: int) -> np.ndarray:
    answers = [shown_on(videos, NOON - timedelta(days=days)) for who, days, videos in ANSWERS if who == user]
    return add_shown(nothing_shown(), answers)


def exposures() -> pa.Table:
    rows = [
        (f"r{i}", user, video, NOON - timedelta(days=days), rank)
        for i, (user, days, videos) in enumerate(ANSWERS)
        for rank, video in enumerate(videos)
    ]
    names = ["request_id", "user_id", "video_id", "event_time", "rank"]
    return pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))).cast(
        pa.schema([SCHEMAS["exposures"].field(name) for name in names])
    )


def test_times_add_up_by_video_and_day() -> None:
    assert kept_of(1).tolist() == [
        [10, TODAY - 8, 1],
        [11, TODAY - 8, 1],
        [10, TODAY - 1, 1],
        [11, TODAY - 1, 1],
        [12, TODAY - 1, 1],
        [10, TODAY, 2],
        [12, TODAY, 1],
        [13, TODAY, 1],
    ]


def test_the_newest_are_kept() -> None:
    kept = add_shown(kept_of(1), [shown_on([99], NOON)], length=3)
    assert kept.tolist() == [[12, TODAY, 1], [13, TODAY, 1], [99, TODAY, 1]]
    later = add_shown(kept_of(1), [shown_on([99], NOON + timedelta(days=SHOWN_DAYS - 1))])
    assert later[:, 1].tolist() == [TODAY, TODAY, TODAY, TODAY + SHOWN_DAYS - 1]


def test_counts_survive_packing() -> None:
    assert unpack_shown(pack_shown(kept_of(1))).tolist() == kept_of(1).tolist()
    assert unpack_shown(None).shape == unpack_shown(pack_shown(nothing_shown())).shape == (0, 3)
    assert add_shown(nothing_shown(), []).shape == add_shown(nothing_shown(), [shown_on([], NOON)]).shape


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        (ImpressionCap(max_shown=3), [10]),
        (ImpressionCap(max_shown=2), [10, 12]),
        (ImpressionCap(max_shown=2, shown_days=9), [10, 11, 12]),
        (ImpressionCap(max_shown=2, shown_days=1), [10]),
        (ImpressionCap(max_shown=4, shown_days=14), [10]),
        (ImpressionCap(max_shown=5, shown_days=14), []),
        (ImpressionCap(), []),
    ],
)
def test_what_was_shown_often_enough_is_the_same_online_and_offline(
    cap: ImpressionCap, expected: list[int]
) -> None:
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    assert capped_videos(kept_of(1), cap, midnight).tolist() == expected
    assert capped_videos(kept_of(1), cap, None).tolist() == expected
    if cap.max_shown:
        connection = connect()
        rows = capped_by_user(connection.from_arrow(exposures()), midnight, cap)
        assert dict(zip(rows["user_id"].to_pylist(), rows["video_ids"].to_pylist(), strict=True)) == (
            {1: expected} if expected else {}
        )


def test_the_window_moves_with_what_is_known_of_the_user() -> None:
    cap = ImpressionCap(max_shown=2, shown_days=2)
    tomorrow = NOON.replace(hour=0) + timedelta(days=2)
    assert capped_videos(kept_of(1), cap, tomorrow).tolist() == [10]  # twice today; 12 once only
    assert capped_videos(kept_of(1), cap, tomorrow + timedelta(days=1)).tolist() == []


def test_lower_places_do_not_count() -> None:
    rows = capped_by_user(
        connect().from_arrow(exposures()), NOON + timedelta(days=1), ImpressionCap(max_shown=2, shown_ranks=1)
    )
    assert rows.to_pylist() == [{"user_id": 1, "video_ids": [10]}]


def test_what_came_later_does_not_count() -> None:
    cap = ImpressionCap(max_shown=3)
    assert capped_by_user(connect().from_arrow(exposures()), NOON, cap).num_rows == 0
