"""Pushed watches and the daily history together, every event once."""

import pytest

from features.history import History
from features.positives import Action
from features.recent import (
    RECENT_PRESSED,
    RecentWatch,
    append_recent,
    merge_recent,
    pack_recent,
    unpack_recent,
)


def recent(event_id: str, time: int, video_id: int = 7, actions: int = 1) -> RecentWatch:
    return RecentWatch(time, event_id, video_id, actions)


def test_the_newest_are_kept_in_order_of_time() -> None:
    kept = [recent("a", 10), recent("c", 30)]
    assert append_recent(kept, [recent("d", 40), recent("b", 20)], length=3) == [
        recent("b", 20),
        recent("c", 30),
        recent("d", 40),
    ]


@pytest.mark.parametrize("pressed", [Action.FOLLOWED, Action.DISLIKED])
def test_a_follow_and_a_dislike_are_kept_beyond_the_newest(pressed: Action) -> None:
    follow = recent("a", 10, actions=int(pressed))
    assert append_recent([follow, recent("b", 20)], [recent("c", 30), recent("d", 40)], length=2) == [
        follow,
        recent("c", 30),
        recent("d", 40),
    ]
    follows = [recent(f"f{i}", i, actions=int(pressed)) for i in range(RECENT_PRESSED + 5)]
    assert append_recent(follows, [recent("new", 1000)], length=1) == [*follows[5:], recent("new", 1000)]


def test_an_event_that_is_pushed_twice_counts_once() -> None:
    first, again = recent("a", 10, actions=1), recent("a", 10, actions=3)
    assert append_recent([first], [again, recent("b", 10)]) == [first, recent("b", 10)]


def test_watches_survive_packing() -> None:
    watches = [recent('odd "id", é', 10, video_id=2**62), recent("b", 2**50, actions=0)]
    assert unpack_recent(pack_recent(watches)) == watches
    assert unpack_recent(None) == []


def test_the_history_holds_a_pushed_watch_once_also_after_the_daily_ingest() -> None:
    daily = History([1, 2], [100, 200], [1, 0])
    pushed = [
        recent("x", 200, video_id=2, actions=0),
        recent("y", 300, video_id=2),
        recent("z", 150, video_id=3),
    ]
    merged = merge_recent(daily, pushed)
    assert list(merged.video_ids) == [1, 3, 2, 2]
    assert list(merged.event_times) == [100, 150, 200, 300]
    assert list(merged.actions) == [1, 1, 0, 1]


def test_a_dislike_counts_that_was_pressed_on_a_play_which_the_daily_history_holds() -> None:
    daily = History([1, 2], [100, 200], [1, 0])
    pressed = recent("later", 200, video_id=2, actions=int(Action.DISLIKED))
    merged = merge_recent(daily, [pressed])
    assert list(zip(merged.video_ids, merged.event_times, merged.actions, strict=True)) == [
        (1, 100, 1),
        (2, 200, 0),
        (2, 200, Action.DISLIKED),
    ]
    assert merge_recent(merged, [pressed]) is merged, "the daily ingest has brought it"


def test_nothing_pushed_leaves_the_history_and_long_ones_lose_their_oldest() -> None:
    daily = History([1, 2], [100, 200], [1, 0])
    assert merge_recent(daily, [recent("x", 200, video_id=2)]) is daily
    merged = merge_recent(daily, [recent("y", 300, video_id=5)], length=2)
    assert list(merged.video_ids) == [2, 5]
    assert list(merge_recent(History((), (), ()), [recent("y", 300)]).video_ids) == [7]
