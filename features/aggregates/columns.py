"""Names of the aggregated columns. Light to import: Feast's definitions need no more.

A rate is known events / plays where it is known: a null flag says nothing and is in neither.
"""

from typing import Final

from features.schema import (
    DISLIKED,
    FOLLOWED,
    LIKED,
    LONG_WATCH,
    SHARED,
    TAG_ID,
    UPLOADER_ID,
    USER_ID,
    VIDEO_ID,
)

WINDOWS: Final = (1, 7, 30)
"""Days; the last one bounds what is read."""
ENTITIES: Final = (USER_ID, VIDEO_ID, UPLOADER_ID, TAG_ID)

PLAYS: Final = "plays"
LONG_WATCHES: Final = "long_watches"
COMPLETION: Final = "completion_micros"
"""Watched share of a video in millionths, at most one: whole numbers add up alike in any order."""
COUNTS: Final = {
    LONG_WATCHES: LONG_WATCH,
    "likes": LIKED,
    "follows": FOLLOWED,
    "shares": SHARED,
    "dislikes": DISLIKED,
}
"""Count of true flags -> the flag of a watch; a long watch is a positive (``PositiveRule``)."""
RATES: Final = {
    "long_watch_rate": LONG_WATCHES,
    "like_rate": "likes",
    "follow_rate": "follows",
    "share_rate": "shares",
    "dislike_rate": "dislikes",
    "completion_rate": COMPLETION,
}
"""Rate -> its numerator; ``known_of`` names its denominator."""
TREND: Final = "trend"
DAY_NUMBER: Final = "day_number"
"""Event day as days since 1970, so that ages are differences."""

AGE: Final = "age"
"""Days from the event day to the day that a window ends with."""

SHARE: Final = "share"
LONG_WATCH_RATE: Final = "long_watch_rate"

FROM_VIDEO: Final = "from_video_id"
TO_VIDEO: Final = "to_video_id"
PAIRS: Final = "pairs"
FROM_END: Final = "from_end"
"""Positives of the same user that follow on the same day."""
SECONDS: Final = "epoch_seconds"


def known_of(name: str) -> str:
    """Column that counts the plays on which the flag of ``name`` is known."""
    return f"known_{name}"


def unique_of(entity: str) -> str:
    """What is counted once per window: users, and for a user videos."""
    return "unique_videos" if entity == USER_ID else "unique_users"


def count_columns(entity: str) -> list[str]:
    """Names of the integer features: ``plays_1d`` ... ``dislikes_30d``."""
    names = (PLAYS, unique_of(entity), *COUNTS)
    return [f"{name}_{window}d" for name in names for window in WINDOWS]


def rate_columns() -> list[str]:
    """Names of the real-valued features; see ``features.aggregates.windows``."""
    return [*(f"{rate}_{window}d" for rate in RATES for window in WINDOWS), TREND]
