"""Small landing files for tests, written row by row."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings

DAY = "2026-03-02"


def watch(event_id: str, hour: int = 12, *, day: str = DAY, **changes: object) -> dict[str, object]:
    """A good watch; ``changes`` replace or add columns, ``None`` included."""
    row = {"event_id": event_id, "user_id": 1, "video_id": 7, "event_time": f"{day}T{hour:02d}:00:00+00:00"}
    return row | {"watch_seconds": 5.0} | changes


def video(video_id: int, **changes: object) -> dict[str, object]:
    """A good video."""
    row = {
        "video_id": video_id,
        "uploader_id": 3,
        "tag_ids": [1, 2],
        "duration_seconds": 20.0,
        "is_online": True,
    }
    return row | changes


def user(user_id: int, **changes: object) -> dict[str, object]:
    """A good user."""
    return {"user_id": user_id, "segment": "young", "profile": ["region=north"]} | changes


def land(
    settings: Settings, table: str, rows: Sequence[object], *, day: str = DAY, name: str = "a.jsonl"
) -> Path:
    """Write one landing file; a row that is bytes is written as it is."""
    folder = settings.landing / table / day
    folder.mkdir(parents=True, exist_ok=True)
    content = b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def land_day(settings: Settings, rows: Sequence[object], *, day: str = DAY) -> None:
    """Watches of one day with the snapshots that validation wants."""
    land(settings, WATCHES, rows, day=day)
    land(settings, VIDEOS, [video(i) for i in range(10)], day=day)
    land(settings, USERS, [user(i) for i in range(5)], day=day)
