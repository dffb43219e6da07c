"""What is expected of watches, videos and users: structure, known ids, volume, freshness.

Row-level dirt is gone by then (``features/rules.py`` put it into quarantine); the suites state once more
what every consumer relies on, and judge a day as a whole.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from features.config import ValidationConfig
from features.days import add_days, end_of, start_of
from features.lake import PARTITION, curated_schema
from features.limits import MAX_WATCH_SECONDS
from features.schema import (
    DURATION_SECONDS,
    EVENT_DAY,
    EVENT_ID,
    EVENT_TIME,
    EXPOSURES,
    KEYS,
    RANK,
    REQUEST_ID,
    SCHEMAS,
    UPLOADER_ID,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEOS,
    WATCH_SECONDS,
    WATCHES,
)
from features.stage import Counts
from features.validation.checks import Check, never, unique

SHOWN: Final = {
    WATCHES: (EVENT_ID, USER_ID, VIDEO_ID),
    EXPOSURES: (REQUEST_ID, USER_ID, VIDEO_ID),
    VIDEOS: (VIDEO_ID,),
    USERS: (USER_ID,),
}
"""Columns of example rows."""
AT_LEAST_0: Final = {
    WATCHES: (USER_ID, VIDEO_ID),
    EXPOSURES: (USER_ID, VIDEO_ID, RANK),
    VIDEOS: (VIDEO_ID, UPLOADER_ID, DURATION_SECONDS),
    USERS: (USER_ID,),
}


def structure(table: str, day: str, present: Sequence[str]) -> list[Check]:
    """Columns, nulls, keys, partition and ranges. ``present`` are the columns that the rows have."""
    show, key = SHOWN[table], KEYS[table]
    required = [field.name for field in SCHEMAS[table] if not field.nullable]
    wrong = sorted(set(present) ^ set(curated_schema(table).names))
    return [
        Check(
            name=f"{table}.schema",
            says="columns are those of features/schema.py",
            sql=str(len(wrong)),
            high=0.0,
            observed=f"missing or unexpected: {', '.join(wrong) or 'none'}",
        ),
        *(never(f"{table}.not_null.{c}", f"{c} IS NULL", f"{c} is known", show=show) for c in required),
        unique(table, key, is_text=table == WATCHES),
        never(
            f"{table}.partition",
            f"{PARTITION[table]} IS DISTINCT FROM '{day}'",
            f"{PARTITION[table]} is {day}",
            show=show,
        ),
        *(
            never(f"{table}.range.{c}", f"{c} < 0", f"{c} is at least 0", show=(*show, c))
            for c in AT_LEAST_0[table]
        ),
        *(_event_ranges(table, day) if PARTITION[table] == EVENT_DAY else []),
    ]


def known_ids(table: str, limits: ValidationConfig, *, with_users: bool) -> list[Check]:
    """Videos and users of events are in the views ``videos`` and ``users``."""
    found = [_known(table, VIDEOS, VIDEO_ID, limits.max_unknown_videos)]
    return [*found, _known(table, USERS, USER_ID, limits.max_unknown_users)] if with_users else found


def quarantined(count: Counts, limits: ValidationConfig) -> Check:
    """Not too large a share of a landing day was refused."""
    share = count.quarantined / max(count.read, 1)
    return Check(
        name=f"{count.table}.quarantined",
        says=f"at most {limits.max_quarantined:.0%} of the landed rows in quarantine",
        sql=str(share),
        high=limits.max_quarantined,
        observed=f"{count.quarantined} of {count.read} rows: {count.rules}",
    )


def volume(table: str, day: str, rows_of: Mapping[str, int], limits: ValidationConfig) -> list[Check]:
    """Rows against the days before (``rows_of``); nothing is judged where there are too few of them."""
    if table != WATCHES:
        before = max((other for other in rows_of if other < day), default=None)
        low = limits.min_snapshot_ratio * rows_of[before] if before else 0.0
        says = f"not far fewer rows than the snapshot of {before}"
        return [Check(name=f"{table}.volume", says=says, sql="count(*)", low=low)] if before else []
    first = add_days(day, -limits.baseline_days)
    past = [rows for other, rows in rows_of.items() if first <= other < day]
    if len(past) < limits.min_baseline_days:
        return []
    usual = statistics.median(past)
    return [
        Check(
            name=f"{table}.volume",
            says=f"about as many rows as the median of the days before, {usual:,.0f}",
            sql="count(*)",
            low=float(int(limits.min_row_ratio * usual)),
            high=float(int(limits.max_row_ratio * usual)),
        )
    ]


def freshness(day: str, limits: ValidationConfig) -> Check:
    """The last event of a landing day is not long before its end."""
    end = f"TIMESTAMPTZ '{end_of(day).isoformat()}'"
    return Check(
        name=f"{WATCHES}.freshness",
        says="hours without events at the end of the day",
        sql=f"coalesce(epoch({end} - max({EVENT_TIME})) / 3600, 24)",
        high=limits.max_silent_hours,
    )


def _known(events: str, table: str, key: str, max_share: float) -> Check:
    return Check(
        name=f"{events}.known_{table}",
        says=f"{key} is in a snapshot of {table}",
        sql=f"(SELECT count(*) FROM rows ANTI JOIN {table} USING ({key}))",
        high=max_share,
        is_share=True,
        examples=f"SELECT {', '.join(SHOWN[events])} FROM rows ANTI JOIN {table} USING ({key})",
    )


def _event_ranges(table: str, day: str) -> list[Check]:
    seconds = f"NOT {WATCH_SECONDS} BETWEEN 0 AND {MAX_WATCH_SECONDS}"
    start, end = start_of(day).isoformat(), end_of(day).isoformat()
    outside = f"{EVENT_TIME} < TIMESTAMPTZ '{start}' OR {EVENT_TIME} >= TIMESTAMPTZ '{end}'"
    ranges = [(EVENT_TIME, outside, f"{EVENT_TIME} lies in {day}")]
    if table == WATCHES:
        ranges.insert(0, (WATCH_SECONDS, seconds, f"{WATCH_SECONDS} is between 0 and {MAX_WATCH_SECONDS}"))
    return [
        never(f"{table}.range.{name}", bad, says, show=(*SHOWN[table], name)) for name, bad, says in ranges
    ]
