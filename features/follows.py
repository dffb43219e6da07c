"""Uploaders that a user follows: those of the videos on which the user pressed follow.

Shape letters: U uploaders, F videos.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import duckdb
import numpy as np
from jaxtyping import Int64

from features.positives import Action
from features.recent import RecentWatch
from features.schema import ACTIONS, EVENT_TIME, UPLOADER_ID, USER_ID, VIDEO_ID

FOLLOWED_UPLOADERS: Final = "followed_uploader_ids"
FOLLOWS_LENGTH: Final = 500
"""Followed uploaders kept per user, the newest."""


def _none() -> Int64[np.ndarray, " _"]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Follows:
    """Whom one user follows, as one look-up tells it."""

    uploader_ids: Int64[np.ndarray, " U"] = field(default_factory=_none)
    """Of every watch that the daily features know."""
    video_ids: Int64[np.ndarray, " F"] = field(default_factory=_none)
    """On which follow was pressed since, or lately: a pushed watch does not say whose video it is."""

    @classmethod
    def of(cls, uploader_ids: Sequence[int] | None, recent: Sequence[RecentWatch]) -> "Follows":
        """From a row of ``user_follows``, if there is one, and the pushed watches."""
        videos = [watch.video_id for watch in recent if watch.actions & Action.FOLLOWED.value]
        return cls(np.array(uploader_ids or (), dtype=np.int64), np.array(videos, dtype=np.int64))


def user_follows(
    watches: duckdb.DuckDBPyRelation,
    videos: duckdb.DuckDBPyRelation,
    until: datetime,
    *,
    length: int = FOLLOWS_LENGTH,
) -> duckdb.DuckDBPyRelation:
    """``user_id, followed_uploader_ids`` (distinct, newest last) of users who followed anybody by ``until``.

    Logs know no unfollow: who was followed once stays.

    Args:
        watches: the result of ``history.watches_with_actions``.
        videos: at most one row per video with ``video_id, uploader_id``; other watches say nothing.
    """
    uploaders = videos.project(f"{VIDEO_ID}, {UPLOADER_ID}").set_alias("v")
    joined = watches.set_alias("w").join(uploaders, f"w.{VIDEO_ID} = v.{VIDEO_ID}")
    followed = joined.filter(
        f"{ACTIONS} & {Action.FOLLOWED.value} <> 0 AND {EVENT_TIME} < TIMESTAMPTZ '{until.isoformat()}'"
    ).project(f"{USER_ID}, {UPLOADER_ID}, {EVENT_TIME}")
    found = followed.query(
        "followed",
        f"""
        SELECT {USER_ID}, list({UPLOADER_ID} ORDER BY newest, {UPLOADER_ID} DESC) AS {FOLLOWED_UPLOADERS}
        FROM (SELECT {USER_ID}, {UPLOADER_ID}, max({EVENT_TIME}) AS newest FROM followed GROUP BY 1, 2
              QUALIFY row_number() OVER (PARTITION BY {USER_ID} ORDER BY newest DESC, {UPLOADER_ID})
                      <= {length})
        GROUP BY {USER_ID} ORDER BY {USER_ID}
        """,
    )
    assert found is not None, "a SELECT has a result"
    return found
