"""Pairs of positives in the order of a user's watches."""

from typing import Any

import pytest

from features.aggregates.config import AggregatesConfig
from features.aggregates.store import Aggregates
from features.settings import Settings
from tests.features.aggregates.logs import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    video,
    watch,
    write_videos,
    write_watches,
)

YES: dict[str, Any] = {"long_watch": True}


def pairs(settings: Settings, *days: str, **config: float) -> dict[tuple[int, int], int]:
    changed = settings.model_copy(update={"aggregates": AggregatesConfig(**config)})
    found = Aggregates(changed).transitions(days or [MONDAY, TUESDAY, WEDNESDAY]).to_pylist()
    return {(row["from_video_id"], row["to_video_id"]): row["pairs"] for row in found}


@pytest.fixture
def home(settings: Settings) -> Settings:
    write_videos(settings, [video(1)])
    return settings


def test_neighbours_within_w_places_are_pairs_in_their_order(home: Settings) -> None:
    write_watches(
        home,
        [watch(1, video_id, video_id, **YES) for video_id in (1, 2, 3, 4)]
        + [watch(1, 9, 2.5, long_watch=False)]  # not a positive: takes no place
        + [watch(2, 3, 1, **YES), watch(2, 4, 2, **YES)],
    )
    assert pairs(home, pair_places=1) == {(1, 2): 1, (2, 3): 1, (3, 4): 2}
    assert pairs(home, pair_places=2) == {(1, 2): 1, (2, 3): 1, (3, 4): 2, (1, 3): 1, (2, 4): 1}


def test_a_long_pause_ends_the_session(home: Settings) -> None:
    write_watches(
        home, [watch(1, video_id, at / 60, **YES) for video_id, at in ((1, 0), (2, 30), (3, 61), (4, 62))]
    )
    assert pairs(home, pair_places=2, pair_gap_minutes=30) == {(1, 2): 1, (3, 4): 1}
    assert pairs(home, pair_places=2, pair_gap_minutes=29) == {(3, 4): 1}


def test_midnight_cuts_nothing_and_the_pair_belongs_to_the_later_day(home: Settings) -> None:
    write_watches(
        home,
        [watch(1, video_id, 20 + video_id, **YES) for video_id in (1, 2, 3)]
        + [watch(1, video_id, video_id - 3, day=TUESDAY, **YES) for video_id in (4, 5)]
        + [watch(1, 6, 1, day=WEDNESDAY, **YES)],
    )
    assert pairs(home, MONDAY, pair_places=2) == {(1, 2): 1, (2, 3): 1, (1, 3): 1}
    assert pairs(home, TUESDAY, pair_places=2) == {(2, 4): 1, (3, 4): 1, (3, 5): 1, (4, 5): 1}
    # From Monday to Wednesday is too far, though only two positives lie between.
    assert pairs(home, WEDNESDAY, pair_places=3) == {(4, 6): 1, (5, 6): 1}


def test_a_video_does_not_follow_itself_but_takes_a_place(home: Settings) -> None:
    write_watches(home, [watch(1, video_id, hour, **YES) for hour, video_id in enumerate((1, 1, 2))])
    assert pairs(home, pair_places=1) == {(1, 2): 1}
    assert pairs(home, pair_places=2) == {(1, 2): 2}
