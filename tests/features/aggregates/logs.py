"""Small curated logs for the tests of aggregates, written row by row, with the day on which a row landed."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from features.days import add_days, start_of
from features.lake import Lake, curated_schema
from features.schema import FLAGS, VIDEOS, WATCHES
from features.settings import Settings

MONDAY, TUESDAY, WEDNESDAY = "2026-03-02", "2026-03-03", "2026-03-04"


def watch(
    user_id: int, video_id: int, hour: float, *, day: str = MONDAY, landed: str = "", **more: object
) -> dict[str, Any]:
    """A watch of which nothing is known, unless told; it landed on its own day, unless told."""
    row = {"user_id": user_id, "video_id": video_id, "event_time": start_of(day) + timedelta(hours=hour)}
    place = {"event_day": day, "landing_day": landed or day}
    return {"event_id": f"{user_id}-{video_id}-{day}-{hour}"} | row | place | more


def video(video_id: int, *tag_ids: int, uploader_id: int = 7, **more: object) -> dict[str, Any]:
    """A video of 20 seconds."""
    row = {"video_id": video_id, "uploader_id": uploader_id, "tag_ids": list(tag_ids)}
    return row | {"is_online": True, "duration_seconds": 20.0} | more


def write_watches(settings: Settings, watches: Iterable[dict[str, Any]]) -> None:
    """Replace the days of ``watches``."""
    by_day: dict[str, list[dict[str, Any]]] = {}
    for row in watches:
        by_day.setdefault(row["event_day"], []).append(row)
    for day, rows in by_day.items():
        Lake(settings).write_day(WATCHES, day, pa.Table.from_pylist(rows, schema=curated_schema(WATCHES)))


def write_videos(settings: Settings, videos: Iterable[dict[str, Any]], day: str = MONDAY) -> None:
    """Replace the snapshot of ``day``."""
    rows = [row | {"snapshot_day": day, "landing_day": day} for row in videos]
    Lake(settings).write_day(VIDEOS, day, pa.Table.from_pylist(rows, schema=curated_schema(VIDEOS)))


def random_watches(day: str, num_watches: int, seed: int = 7) -> list[dict[str, Any]]:
    """Watches of 20 users and 30 videos (1 to 30; no attributes after 25), any of them unknown or late."""
    random = np.random.default_rng([seed, *map(ord, day)])
    rows = []
    for _ in range(num_watches):
        late = add_days(day, int(random.choice([0, 0, 0, 1, 3])))
        known = {flag: random.choice([None, True, False]) for flag in ("long_watch", *FLAGS)}
        known = {flag: None if value is None else bool(value) for flag, value in known.items()}
        seconds = None if random.random() < 0.2 else float(random.integers(0, 300)) / 7
        user_id, video_id = int(random.integers(20)), int(random.integers(1, 31))
        hour = float(random.integers(0, 24 * 60)) / 60
        rows.append(watch(user_id, video_id, hour, day=day, landed=late, watch_seconds=seconds, **known))
    return list({row["event_id"]: row for row in rows}.values())


def random_videos() -> list[dict[str, Any]]:
    """Videos 1 to 25, with none to three tags, some without a duration."""
    return [
        video(i, *range(i % 4), uploader_id=i % 6, duration_seconds=None if i % 5 == 0 else 3.0 * i)
        for i in range(1, 26)
    ]
