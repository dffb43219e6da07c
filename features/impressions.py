"""How often each video was shown to a user, and which of them were shown often enough for now.

Shown is what an answer of recall held in its first ``shown_ranks`` places. Online the counts are one value
per user in the view ``user_shown``: every serving process adds its answers soon after it gave them, under a
lock. Offline they come from the curated table of exposures, the same answers. Counts are per UTC day, and the
window ends with the newest day that is known of the user, so the same look-up always gives the same list.

A capped video comes back only where an answer would be short without it: nobody is shown nothing for that.

Shape letters: N pairs of a video and a day, the columns ``video, day since 1970, times``; S videos.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from features.merge_config import SHOWN_DAYS, ImpressionCap
from features.schema import EVENT_TIME, RANK, USER_ID, VIDEO_ID, VIDEO_IDS

SHOWN_LENGTH: Final = 2000
"""Pairs of a video and a day that are kept per user, the newest: 32 kB."""
_PACKED: Final = np.dtype([("video", "<i8"), ("day", "<i4"), ("times", "<i4")])
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def day_number(moment: datetime) -> int:
    """UTC days since 1970."""
    return (moment - _EPOCH).days


def nothing_shown() -> Int64[np.ndarray, "N 3"]:
    """No pair at all."""
    return np.empty((0, 3), dtype=np.int64)


def shown_on(video_ids: Iterable[int], moment: datetime) -> Int64[np.ndarray, "N 3"]:
    """One answer as pairs: each of these videos once on the day of ``moment``."""
    day = day_number(moment)
    return np.array([(video_id, day, 1) for video_id in video_ids], dtype=np.int64).reshape(-1, 3)


def add_shown(
    kept: Int64[np.ndarray, "N 3"], more: Iterable[Int64[np.ndarray, "_ 3"]], *, length: int = SHOWN_LENGTH
) -> Int64[np.ndarray, "M 3"]:
    """Times added up per video and day: the newest ``length`` pairs of the last ``SHOWN_DAYS`` days."""
    pairs = np.concatenate([kept, *more])
    if not len(pairs):
        return kept
    keys, places = np.unique(pairs[:, 1::-1], axis=0, return_inverse=True)  # by day, then by video
    times = np.zeros(len(keys), dtype=np.int64)
    np.add.at(times, places.ravel(), pairs[:, 2])
    added = np.column_stack([keys[:, 1], keys[:, 0], times])
    is_recent = added[:, 1] > added[-1, 1] - SHOWN_DAYS
    return np.asarray(added[is_recent][-length:])


def pack_shown(shown: Int64[np.ndarray, "N 3"]) -> bytes:
    """As the feature store holds them."""
    packed = np.empty(len(shown), dtype=_PACKED)
    packed["video"], packed["day"], packed["times"] = shown.T
    return packed.tobytes()


def unpack_shown(packed: bytes | None) -> Int64[np.ndarray, "N 3"]:
    """The inverse of ``pack_shown``; nothing without a value."""
    found = np.frombuffer(packed or b"", dtype=_PACKED)
    columns = [found[name].astype(np.int64) for name in ("video", "day", "times")]
    return np.stack(columns, axis=1)


def capped_videos(
    shown: Int64[np.ndarray, "N 3"], cap: ImpressionCap, until: datetime | None
) -> Int64[np.ndarray, " S"]:
    """Ids, ascending, that were shown ``cap.max_shown`` times or more; none without a limit.

    Args:
        until: what is known of the user is from before; the window ends with that day, or the newest pair's.
    """
    if cap.max_shown is None or not len(shown):
        return np.empty(0, dtype=np.int64)
    known = day_number(until - timedelta(microseconds=1)) if until else 0
    last = max(known, int(shown[:, 1].max()))
    counted = shown[shown[:, 1] > last - cap.shown_days]
    videos, places = np.unique(counted[:, 0], return_inverse=True)
    times = np.zeros(len(videos), dtype=np.int64)
    np.add.at(times, places, counted[:, 2])
    return np.asarray(videos[times >= cap.max_shown])


def capped_by_user(exposures: duckdb.DuckDBPyRelation, until: datetime, cap: ImpressionCap) -> pa.Table:
    """``user_id, video_ids`` of all users at once, as ``capped_videos`` finds them, by user.

    Args:
        exposures: curated exposures; those before ``until`` count.
    """
    last = (until - timedelta(microseconds=1)).astimezone(UTC)
    first = last.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=cap.shown_days - 1)
    found = exposures.query(
        "exposures",
        f"""
        SELECT {USER_ID}, list_sort(list({VIDEO_ID})) AS {VIDEO_IDS} FROM (
            SELECT {USER_ID}, {VIDEO_ID} FROM exposures
            WHERE {EVENT_TIME} >= TIMESTAMPTZ '{first.isoformat()}'
                  AND {EVENT_TIME} < TIMESTAMPTZ '{until.isoformat()}' AND {RANK} < {cap.shown_ranks}
            GROUP BY ALL HAVING count(*) >= {cap.max_shown or 0}
        ) GROUP BY ALL ORDER BY {USER_ID}
        """,
    )
    assert found is not None, "a SELECT has a result"
    return found.to_arrow_table()
