"""Watches that were pushed as they happened: what the daily history does not hold yet.

``user_recent`` is one value per user, a JSON list of ``[event_id, video_id, event_time, actions]``, oldest
first (Feast's cost is per value). Any number of processes write it, under a lock; materialize never does. The
history that models read is the daily one and the pushed watches together, by event: once the daily ingest has
brought a pushed watch, both name it and it counts once.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from features.history import HISTORY_LENGTH, History
from features.positives import Action, PositiveRule
from features.schema import EVENT_ID, EVENT_TIME, USER_ID, VIDEO_ID

RECENT_LENGTH: Final = 200
"""Pushed watches kept per user; a day of a heavy user."""
RECENT_PRESSED: Final = 50
"""Older watches kept with a follow or a dislike: until the day is in the lake nobody else has them."""


@dataclass(frozen=True, slots=True, order=True)
class RecentWatch:
    """One pushed watch; ordered as histories are, by time and then by event."""

    event_time: int
    """Microseconds since the epoch."""
    event_id: str
    video_id: int
    actions: int
    """``Action`` bits."""


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
    kept: Iterable[RecentWatch], pushed: Iterable[RecentWatch], *, length: int = RECENT_LENGTH
) -> list[RecentWatch]:
    """The newest ``length`` of both and older follows and dislikes, oldest first.

    An event that was pushed twice counts as it was first.
    """
    by_event: dict[str, RecentWatch] = {}
    for watch in (*kept, *pushed):
        by_event.setdefault(watch.event_id, watch)
    ordered = sorted(by_event.values())
    pressed = Action.FOLLOWED.value | Action.DISLIKED.value
    older = [watch for watch in ordered[:-length] if watch.actions & pressed]
    return older[-RECENT_PRESSED:] + ordered[-length:]


def pack_recent(watches: Iterable[RecentWatch]) -> bytes:
    """As the feature store holds them."""
    rows = [[watch.event_id, watch.video_id, watch.event_time, watch.actions] for watch in watches]
    return json.dumps(rows, separators=(",", ":")).encode()


def unpack_recent(packed: bytes | None) -> list[RecentWatch]:
    """The inverse of ``pack_recent``; nothing without a value."""
    rows = json.loads(packed) if packed else []
    return [RecentWatch(time, event_id, video_id, actions) for event_id, video_id, time, actions in rows]


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
