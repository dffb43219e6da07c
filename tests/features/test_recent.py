"""Pushed watches and the daily history together, every event once."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from features.history import SEEN_LENGTH, History
from features.positives import Action
from features.recent import (
    RECENT_PRESSED,
    Recent,
    RecentWatch,
    append_recent,
    merge_recent,
    pack_recent,
    unpack_recent,
)

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


def added(
    kept: Recent,
    pushed: Iterable[RecentWatch],
    *,
    length: int,
    now: datetime = NOON,
    known_until: datetime | None = None,
) -> Recent:
    return append_recent(kept, pushed, now=now, known_until=known_until, length=length)


def recent(event_id: str, time: int, video_id: int = 7, actions: int = 1) -> RecentWatch:
    return RecentWatch(time, event_id, video_id, actions)


def test_the_newest_are_kept_in_order_of_time() -> None:
    kept = Recent([recent("a", 10), recent("c", 30)])
    assert added(kept, [recent("d", 40), recent("b", 20)], length=3).watches == [
        recent("b", 20),
        recent("c", 30),
        recent("d", 40),
    ]


@pytest.mark.parametrize("pressed", [Action.FOLLOWED, Action.DISLIKED])
def test_a_follow_and_a_dislike_are_kept_beyond_the_newest(pressed: Action) -> None:
    follow = recent("a", 10, actions=int(pressed))
    kept = Recent([follow, recent("b", 20)])
    assert added(kept, [recent("c", 30), recent("d", 40)], length=2).watches == [
        follow,
        recent("c", 30),
        recent("d", 40),
    ]
    follows = [recent(f"f{i}", i, actions=int(pressed)) for i in range(RECENT_PRESSED + 5)]
    kept = added(Recent(follows), [recent("new", 1000)], length=1)
    assert kept.watches == [*follows[5:], recent("new", 1000)]


def test_an_event_that_is_pushed_twice_counts_once() -> None:
    first, again = recent("a", 10, actions=1), recent("a", 10, actions=3)
    kept = added(Recent([first]), [again, recent("b", 10)], length=9)
    assert kept.watches == [first, recent("b", 10)]


def test_the_videos_of_watches_that_gave_way_stay_and_are_bounded() -> None:
    kept = Recent()
    for i in range(7):
        kept = added(unpack_recent(pack_recent(kept)), [recent(f"e{i}", i, video_id=i + 10)], length=2)
    late = recent("late", 0, video_id=5)  # older than what is kept
    kept = added(kept, [late, recent("e0", 0, video_id=10)], length=2)
    assert sorted(kept.video_ids()) == [5, 10, 11, 12, 13, 14, 15, 16]
    assert [watch.video_id for watch in kept.watches] == [15, 16]
    many = [recent(f"m{i}", i, video_id=i) for i in range(SEEN_LENGTH + 9)]
    assert added(Recent(), many, length=2).gone[:, 0].tolist() == list(range(7, SEEN_LENGTH + 7))


def test_they_stay_until_a_day_after_the_daily_features_hold_them() -> None:
    """The first gave way on the 3rd, whose features are those until midnight of the 4th."""
    midnight = datetime(2026, 3, 4, tzinfo=UTC)
    kept = added(Recent(), [recent("a", 10, video_id=1), recent("b", 20, video_id=2)], length=1)
    kept = added(kept, [recent("c", 30, video_id=3)], length=1, now=NOON + ONE_DAY, known_until=midnight)
    assert kept.gone[:, 0].tolist() == [1, 2]
    later = {"now": NOON + 2 * ONE_DAY, "known_until": midnight + ONE_DAY}
    kept = added(kept, [recent("d", 40, video_id=4)], length=1, **later)
    assert kept.gone[:, 0].tolist() == [2, 3]


def test_watches_survive_packing() -> None:
    watches = [recent('odd "id", é\n', 10, video_id=2**62), recent("b", 2**50, actions=0)]
    again = unpack_recent(pack_recent(Recent(watches)))
    assert (again.watches, again.gone.tolist()) == (watches, [])
    kept = added(Recent(watches), [recent("c", 2**51, video_id=0x0A0A)], length=1)
    kept = added(kept, [recent("d", 2**52, video_id=3)], length=1)
    again = unpack_recent(pack_recent(kept))
    assert again.watches == kept.watches
    assert again.gone.tolist() == kept.gone.tolist()
    assert again.gone[:, 0].tolist() == [2**62, 7, 0x0A0A]
    assert unpack_recent(None).video_ids().tolist() == []


def test_a_value_of_before_is_read() -> None:
    assert unpack_recent(b'[["a",7,10,1]]').watches == [recent("a", 10)]


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
