"""Statistics of videos, uploaders, tags and users over the last 1, 7 and 30 days.

As of the end of a day, from the watches that had *arrived* by then: a snapshot that is rebuilt later,
after late events came in, still holds what was known at the time.
"""

from typing import Final

import duckdb

from features.positives import Action
from features.schema import (
    ACTIONS,
    EVENT_DAY,
    EVENT_TIME,
    LANDING_DAY,
    TAG_ID,
    TAG_IDS,
    UPLOADER_ID,
    USER_ID,
    VIDEO_ID,
)

WINDOWS: Final = (1, 7, 30)
"""Days; the last one bounds what is read."""
TREND_PRIOR: Final = 10.0
"""Plays that are added to both sides of the trend, so that it is near 1 where there is little evidence."""
ENTITIES: Final = (USER_ID, VIDEO_ID, UPLOADER_ID, TAG_ID)
COUNTS: Final = {
    "plays": "true",
    "long_watches": f"{ACTIONS} & {Action.POSITIVE.value} <> 0",
    "likes": f"{ACTIONS} & {Action.LIKED.value} <> 0",
    "dislikes": f"{ACTIONS} & {Action.DISLIKED.value} <> 0",
}


def count_columns() -> list[str]:
    """Names of the integer features: ``plays_1d`` ... ``dislikes_30d``."""
    return [f"{name}_{window}d" for name in COUNTS for window in WINDOWS]


def rate_columns() -> list[str]:
    """Names of the real-valued features; see ``entity_stats``."""
    return [*(f"long_watch_rate_{window}d" for window in WINDOWS), "trend"]


def create_daily_counts(connection: duckdb.DuckDBPyConnection, entity: str) -> None:
    """Create the table ``daily_<entity>``: the counts of every entity per event day and landing day.

    Args:
        connection: holds ``all_plays`` (see ``features.history.watches_with_actions``) and ``videos``
            (one row per video).
        entity: one of ``ENTITIES``.
    """
    counts = ", ".join(f"count(*) FILTER ({condition}) AS {name}" for name, condition in COUNTS.items())
    connection.execute(f"""
        CREATE TABLE daily_{entity} AS
        SELECT {entity}, {EVENT_TIME}::DATE AS {EVENT_DAY}, {LANDING_DAY}, {counts}
        FROM ({_plays_of(entity)}) GROUP BY ALL
    """)


def entity_stats(connection: duckdb.DuckDBPyConnection, entity: str, day: str) -> duckdb.DuckDBPyRelation:
    """One row per ``entity`` with a play in the last 30 days: its counts and rates.

    ``long_watch_rate_Nd`` = long watches / plays, null without plays. ``trend`` = plays of the last day
    against the daily mean of the last week, both plus ``TREND_PRIOR``; above 1 means rising.

    Args:
        connection: holds the table that ``create_daily_counts`` makes.
    """
    counts = [
        f"coalesce(sum({name}) FILTER (age < {window}), 0)::BIGINT AS {name}_{window}d"
        for name in COUNTS
        for window in WINDOWS
    ]
    rates = [
        f"long_watches_{window}d / nullif(plays_{window}d, 0) AS long_watch_rate_{window}d"
        for window in WINDOWS
    ]
    trend = f"(plays_1d + {TREND_PRIOR}) / (plays_7d / 7 + {TREND_PRIOR}) AS trend"
    return connection.sql(f"""
        SELECT *, {", ".join(rates)}, {trend}
        FROM (SELECT {entity}, {", ".join(counts)}
              FROM (SELECT *, DATE '{day}' - {EVENT_DAY} AS age FROM daily_{entity})
              WHERE age BETWEEN 0 AND {WINDOWS[-1] - 1} AND {LANDING_DAY} <= '{day}'
              GROUP BY {entity})
        ORDER BY {entity}
    """)


def _plays_of(entity: str) -> str:
    if entity in (USER_ID, VIDEO_ID):
        return "FROM all_plays"
    column = UPLOADER_ID if entity == UPLOADER_ID else f"unnest({TAG_IDS}) AS {TAG_ID}"
    return f"SELECT all_plays.*, {column} FROM all_plays JOIN videos USING ({VIDEO_ID})"
