"""Small curated logs for the tests of training, written row by row or planted by rule."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from features.days import day_of
from features.lake import Lake, curated_schema
from features.schema import EXPOSURES, USERS, VIDEOS, WATCHES
from features.settings import Settings

FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)


def at(day: float) -> datetime:
    """The moment ``day`` days after the first midnight of the log."""
    return FIRST_DAY + timedelta(days=day)


def watch(
    user_id: int, video_id: int, day: float, long_watch: bool | None = True, **more: object
) -> dict[str, Any]:
    """A watch; positive unless told otherwise."""
    row = {"user_id": user_id, "video_id": video_id, "event_time": at(day), "long_watch": long_watch}
    return {"event_id": f"{user_id}-{video_id}-{day}"} | row | more


def video(video_id: int, *tag_ids: int, **more: object) -> dict[str, Any]:
    """A video of 20 seconds that is online."""
    row = {"video_id": video_id, "uploader_id": 1, "tag_ids": list(tag_ids), "duration_seconds": 20.0}
    return row | {"is_online": True} | more


def write_log(
    settings: Settings,
    watches: Iterable[dict[str, Any]],
    videos: Iterable[dict[str, Any]],
    users: Iterable[dict[str, Any]] = (),
    exposures: Iterable[dict[str, Any]] = (),
) -> Lake:
    """Write watches and exposures to their days, and a snapshot of videos and users on the first day."""
    lake = Lake(settings)
    first = day_of(FIRST_DAY)
    for table, events in ((WATCHES, watches), (EXPOSURES, exposures)):
        by_day: dict[str, list[dict[str, Any]]] = {}
        for row in events:
            by_day.setdefault(day_of(row["event_time"]), []).append(row)
        for day, rows in sorted(by_day.items()):
            lake.write_day(table, day, _table(table, rows, event_day=day, landing_day=day))
    lake.write_day(VIDEOS, first, _table(VIDEOS, videos, snapshot_day=first, landing_day=first))
    users = list(users)
    if users:
        lake.write_day(USERS, first, _table(USERS, users, snapshot_day=first, landing_day=first))
    return lake


def planted_log(
    settings: Settings,
    *,
    noise: float,
    num_users: int = 300,
    num_videos: int = 240,
    num_days: int = 8,
    seed: int = 7,
) -> Lake:
    """Users with three of twelve topics each, who watch long what is of their topics.

    With probability ``noise`` a watch is of any video, chosen like every other by its Zipf popularity.
    """
    random = np.random.default_rng(seed)
    num_topics, per_day = 12, 6
    topics = np.arange(num_videos) % num_topics
    popularity = 1 / (1 + random.permutation(num_videos)) ** 0.5
    shares = np.stack([np.where(topics == t, popularity, 0) for t in range(num_topics)])
    shares /= shares.sum(axis=1, keepdims=True)
    any_video = popularity / popularity.sum()
    rows = []
    for user in range(num_users):
        own = random.choice(num_topics, size=3, replace=False)
        seen: set[int] = set()
        for day in range(num_days):
            for i in range(per_day):
                chances = any_video if random.random() < noise else shares[random.choice(own)]
                chosen = int(random.choice(num_videos, p=chances))
                if chosen not in seen:
                    seen.add(chosen)
                    rows.append(watch(user, chosen, day + (i + 1) / (per_day + 2)))
    return write_log(settings, rows, [video(v, int(topics[v])) for v in range(num_videos)])


def _table(name: str, rows: Iterable[dict[str, Any]], **constant: str) -> pa.Table:
    return pa.Table.from_pylist([row | constant for row in rows], schema=curated_schema(name))
