"""What curated tables say of the videos and watches that a page shows: titles, seconds watched.

Serving may run where there is no lake, or where a day of watches is too large to be read for one page: then
the page goes without.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import duckdb
import pyarrow as pa
import structlog
from deltalake.exceptions import DeltaError

from features.days import day_of
from features.errors import FacetError
from features.history import History
from features.lake import Lake, connect, cursor
from features.schema import (
    CATEGORY,
    DURATION_SECONDS,
    EVENT_TIME,
    TITLE,
    USER_ID,
    VIDEO_ID,
    VIDEOS,
    WATCH_SECONDS,
    WATCHES,
)
from features.settings import Settings

log = structlog.get_logger(__name__)

MAX_WATCHES: Final = 5_000_000
"""Rows of the days of a history; more are not searched for one page."""
UNREADABLE: Final = (FacetError, DeltaError, OSError, duckdb.Error)


@dataclass(frozen=True, slots=True)
class VideoText:
    """What the newest snapshot says of a video."""

    title: str | None
    duration_seconds: float | None
    category: str | None


class Curated:
    """Reads of one home, a query each; nothing is kept but the open DuckDB."""

    def __init__(self, settings: Settings) -> None:
        self._lake = Lake(settings)
        self._duckdb = connect()

    def videos(self, video_ids: Iterable[int]) -> dict[int, VideoText]:
        """Those of the videos that the newest snapshot has."""
        try:
            if not self._lake.has(VIDEOS):
                return {}
            newest = max(self._lake.day_counts(VIDEOS), default="")
            asked = pa.table({VIDEO_ID: pa.array(sorted(set(video_ids)), pa.int64())})
            columns = f"{VIDEO_ID}, {TITLE}, {DURATION_SECONDS}, {CATEGORY}"
            rows = self._rows(
                VIDEOS, [newest], f"SELECT {columns} FROM rows SEMI JOIN asked USING ({VIDEO_ID})", asked
            )
            return {video_id: VideoText(*text) for video_id, *text in rows}
        except UNREADABLE as error:
            log.warning("no titles", error=str(error))
            return {}

    def watch_seconds(self, user_id: int, history: History) -> dict[tuple[int, int], float]:
        """Seconds by video and microseconds since the epoch, of those watches of a history that are known."""
        try:
            days = _days(history.event_times)
            counts = self._lake.day_counts(WATCHES) if self._lake.has(WATCHES) else {}
            days = [day for day in days if day in counts]
            if not days or sum(counts[day] for day in days) > MAX_WATCHES:
                return {}
            asked = pa.table({USER_ID: pa.array([user_id], pa.int64())})
            columns = f"{VIDEO_ID}, epoch_us({EVENT_TIME}), {WATCH_SECONDS}"
            rows = self._rows(
                WATCHES, days, f"SELECT {columns} FROM rows SEMI JOIN asked USING ({USER_ID})", asked
            )
            return {(video_id, time): seconds for video_id, time, seconds in rows if seconds is not None}
        except UNREADABLE as error:
            log.warning("no seconds watched", error=str(error))
            return {}

    def _rows(self, table: str, days: Sequence[str], query: str, asked: pa.Table) -> list[tuple[Any, ...]]:
        connection = cursor(self._duckdb)
        connection.register("asked", asked)
        scanned = self._lake.scan(connection, table, days)
        found = scanned.query("rows", query)
        assert found is not None, "a SELECT has a result"
        return found.fetchall()


def _days(event_times: Iterable[int]) -> list[str]:
    return sorted({day_of(datetime.fromtimestamp(time / 1e6, UTC)) for time in event_times})
