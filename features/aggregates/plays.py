"""Watches as the aggregates see them: what is known of every play, null where it is not."""

from typing import Final

import ibis
import ibis.expr.types as ir

from features.aggregates.columns import COMPLETION, COUNTS, LONG_WATCHES
from features.positives import PositiveRule
from features.schema import (
    DURATION_SECONDS,
    EVENT_ID,
    EVENT_TIME,
    LANDING_DAY,
    LONG_WATCH,
    TAG_ID,
    TAG_IDS,
    UPLOADER_ID,
    USER_ID,
    VIDEO_ID,
    WATCH_SECONDS,
)

MICROS: Final = 1_000_000


def plays_of(watches: ir.Table, videos: ir.Table, rule: PositiveRule) -> ir.Table:
    """One row per watch: keys, time, nullable flags by the names of their counts, completion in millionths.

    Args:
        watches: curated watches of one day.
        videos: one snapshot; a watch of a video outside of it has no known duration.
    """
    durations = videos.select(VIDEO_ID, DURATION_SECONDS)
    joined = watches.left_join(durations, VIDEO_ID)
    flags: dict[str, ir.Value] = {name: joined[flag] for name, flag in COUNTS.items()}
    flags[LONG_WATCHES] = positive(joined, rule)
    flags[COMPLETION] = completion_micros(joined)
    return joined.select(
        USER_ID,
        VIDEO_ID,
        EVENT_TIME,
        EVENT_ID,
        LANDING_DAY,
        **flags,
    )


def positive(plays: ir.Table, rule: PositiveRule) -> ir.BooleanValue:
    """``rule.positive_sql`` as an expression, but null where neither log nor seconds say."""
    enough = ibis.least(rule.min_completion * plays[DURATION_SECONDS], rule.min_seconds)
    return ibis.coalesce(
        plays[LONG_WATCH], plays[WATCH_SECONDS] >= ibis.coalesce(enough, ibis.literal(rule.min_seconds))
    )


def completion_micros(plays: ir.Table) -> ir.IntegerValue:
    """Watched share of the duration, at most 1, in millionths rounded half up; null if either is unknown."""
    share = plays[WATCH_SECONDS] / plays[DURATION_SECONDS].nullif(0.0)
    whole = (share * MICROS + 0.5).floor().cast("int64")
    return (share >= 1).ifelse(MICROS, whole)


def uploaders_of(videos: ir.Table) -> ir.Table:
    """``video_id, uploader_id``."""
    return videos.select(VIDEO_ID, UPLOADER_ID)


def tags_of(videos: ir.Table) -> ir.Table:
    """``video_id, tag_id``: one row per tag of a video, however often it is listed."""
    return videos.select(VIDEO_ID, videos[TAG_IDS].unnest().name(TAG_ID)).distinct()
