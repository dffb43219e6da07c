"""Watches that were pushed as they happened: what the daily history does not hold yet.

``user_recent`` is one value per user (Feast's cost is per value): a JSON list of ``[event_id, video_id,
event_time, actions]``, oldest first, and, after a line end, the videos of those that gave way to newer ones,
until the daily seen list has them. Any number of processes write it, under a lock; materialize never does.
The history that models read is the daily one and the pushed watches together, by event: once the daily ingest
has brought a pushed watch, both name it and it counts once.

Shape letters: N videos of watches that are not kept, V of all.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from features.history import HISTORY_LENGTH, SEEN_LENGTH, History
from features.impressions import day_number
from features.positives import Action, PositiveRule
from features.schema import EVENT_ID, EVENT_TIME, USER_ID, VIDEO_ID

RECENT_LENGTH: Final = 200
"""Pushed watches kept per user; a day of a heavy user."""
RECENT_PRESSED: Final = 50
"""Older watches kept with a follow or a dislike: until the day is in the lake nobody else has them."""
GRACE_DAYS: Final = 1
"""The id of a watch stays so long after the daily features should hold it: its file may have landed late."""
_PACKED: Final = np.dtype([("video", "<i8"), ("day", "<i4")])


@dataclass(frozen=True, slots=True, order=True)
class RecentWatch:
    """One pushed watch; ordered as histories are, by time and then by event."""

    event_time: int
    """Microseconds since the epoch."""
    event_id: str
    video_id: int
    actions: int
    """``Action`` bits."""


def _nothing() -> Int64[np.ndarray, "N 2"]:
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Recent:
    """What is kept of the pushed watches of one user."""

    watches: Sequence[RecentWatch] = ()
    """Oldest first."""
    gone: Int64[np.ndarray, "N 2"] = field(default_factory=_nothing)
    """Videos of watches that are not kept, and the day since 1970 on which each gave way, oldest first."""

    def video_ids(self) -> Int64[np.ndarray, " V"]:
        """Of all of them: what may not be shown again."""
        ids = np.array([watch.video_id for watch in self.watches], dtype=np.int64)
        return np.concatenate([self.gone[:, 0], ids])


def recent_watches(events: pa.Table, rule: PositiveRule) -> dict[int, list[RecentWatch]]:
    """Watches by user, with the ``Action`` bits that the ingest of the same events will give them.

    Args:
        events: columns of a watch, and ``duration_seconds``.
    """
    connection = duckdb.connect()
    connection.register("events", events)
    query = f"""
        SELECT {USER_ID}, epoch_us({EVENT_TIME}), {EVENT_ID}, {VIDEO_ID}, CAST({rule.action_sql()} AS INTEGER)
        FROM events
    """
    found: dict[int, list[RecentWatch]] = {}
    for user_id, *watch in connection.sql(query).fetchall():
        found.setdefault(user_id, []).append(RecentWatch(*watch))
    return found


def append_recent(
    kept: Recent,
    pushed: Iterable[RecentWatch],
    *,
    now: datetime,
    known_until: datetime | None,
    length: int = RECENT_LENGTH,
) -> Recent:
    """The newest ``length`` of both and older follows and dislikes; of the others the video.

    An event that was pushed twice counts as it was first.

    Args:
        known_until: the daily features hold what landed by then; what gave way before is left to them.
    """
    by_event: dict[str, RecentWatch] = {}
    for watch in (*kept.watches, *pushed):
        by_event.setdefault(watch.event_id, watch)
    ordered = sorted(by_event.values())
    mask = Action.FOLLOWED.value | Action.DISLIKED.value
    older = ordered[:-length]
    pressed = [watch for watch in older if watch.actions & mask][-RECENT_PRESSED:]
    days = dict(kept.gone.tolist())
    days |= {watch.video_id: day_number(now) for watch in older if watch not in pressed}
    first = day_number(known_until) - GRACE_DAYS if known_until else 0
    gone = sorted((pair for pair in days.items() if pair[1] >= first), key=lambda pair: pair[1])
    newest = np.array(gone[-SEEN_LENGTH:], dtype=np.int64).reshape(-1, 2)
    return Recent([*pressed, *ordered[-length:]], newest)


def pack_recent(recent: Recent) -> bytes:
    """As the feature store holds it."""
    rows = [[watch.event_id, watch.video_id, watch.event_time, watch.actions] for watch in recent.watches]
    packed = json.dumps(rows, separators=(",", ":")).encode()
    if not len(recent.gone):
        return packed
    gone = np.empty(len(recent.gone), dtype=_PACKED)
    gone["video"], gone["day"] = recent.gone.T
    return packed + b"\n" + gone.tobytes()


def unpack_recent(packed: bytes | None) -> Recent:
    """The inverse of ``pack_recent``; nothing without a value."""
    rows, _, rest = (packed or b"[]").partition(b"\n")
    watches = [
        RecentWatch(time, event_id, video_id, actions)
        for event_id, video_id, time, actions in json.loads(rows)
    ]
    if not rest:
        return Recent(watches)
    gone = np.frombuffer(rest, dtype=_PACKED)
    return Recent(watches, np.stack([gone["video"], gone["day"].astype(np.int64)], axis=1))


def merge_recent(history: History, recent: Iterable[RecentWatch], *, length: int = HISTORY_LENGTH) -> History:
    """The newest ``length`` watches of the daily history and the pushed ones, oldest first.

    A pushed watch is the same as one of the history if video, time and dislike agree: histories name no
    events. A dislike may be an event of its own, with the time of the play on which it was pressed.
    """
    ids = np.asarray(history.video_ids, dtype=np.int64)
    times = np.asarray(history.event_times, dtype=np.int64)
    disliked = np.asarray(history.actions, dtype=np.int64) & Action.DISLIKED.value
    known = set(zip(ids.tolist(), times.tolist(), disliked.tolist(), strict=True))
    new = [
        watch
        for watch in sorted(recent)
        if (watch.video_id, watch.event_time, watch.actions & Action.DISLIKED.value) not in known
    ]
    if not new:
        return history
    times = np.concatenate([times, [watch.event_time for watch in new]]).astype(np.int64)
    order = np.argsort(times, kind="stable")[-length:]
    ids = np.concatenate([ids, [watch.video_id for watch in new]]).astype(np.int64)
    actions = np.asarray(history.actions, dtype=np.int64)
    actions = np.concatenate([actions, [watch.actions for watch in new]]).astype(np.int64)
    return History(ids[order], times[order], actions[order])
