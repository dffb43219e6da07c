"""One day's feature rows, as Parquet exports that Feast reads: ``feast/offline/<view>/<day>.parquet``.

Rows of day D are true at the end of D and hold what had *landed* by then: ``landing_day <= D`` and
``event_time < end of D``. So a snapshot that is built again, after late events arrived, is the same; what
arrived late shows up in the snapshot of the day on which it arrived. Only when a landing day itself comes
out of order does a snapshot change; ``sources_of`` tells. Rows that did not change are not written again:
histories are those of users with a landed watch on D, profiles those that differ from the day before. A
point-in-time join finds the newest row.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa

from features.aggregates.columns import count_columns, rate_columns
from features.days import end_of
from features.errors import BadInputError
from features.history import user_histories, user_seen, watches_with_actions
from features.lake import Lake, connect
from features.positives import PositiveRule
from features.schema import (
    EVENT_TIME,
    LANDING_DAY,
    PROFILE,
    SEGMENT,
    TAG_ID,
    TIMESTAMP,
    UPLOADER_ID,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEO_IDS,
    VIDEOS,
    WATCHES,
)
from features.settings import Settings
from features.stage import write_parquet
from features.validation.features_suite import Expected, check_features

if TYPE_CHECKING:
    from features.aggregates.store import Aggregates

USER_HISTORY: Final = "user_history"
USER_SEEN: Final = "user_seen"
USER_PROFILE: Final = "user_profile"
USER_RECENT: Final = "user_recent"
"""Pushed, never materialized: no snapshot has it."""
STATS_VIEWS: Final[dict[str, str]] = {
    "user_stats": USER_ID,
    "video_stats": VIDEO_ID,
    "uploader_stats": UPLOADER_ID,
    "tag_stats": TAG_ID,
}
VIEWS: Final = (USER_HISTORY, USER_SEEN, USER_PROFILE, *STATS_VIEWS)
AS_OF: Final = "event_timestamp"
"""The moment that a feature row is true for: the end of its day."""
SEEN_PACKED: Final = "seen_packed"
"""Little-endian int64 ids, sorted: one value instead of 2,000 (Feast's cost is per value)."""


def snapshot_path(settings: Settings, view: str, day: str) -> Path:
    """Where the rows of one view and day lie."""
    return settings.feast / "offline" / view / f"{day}.parquet"


def snapshot_days(settings: Settings) -> list[str]:
    """Days whose snapshot is complete, oldest first."""
    complete = [
        {path.stem for path in (settings.feast / "offline" / view).glob("*.parquet")} for view in VIEWS
    ]
    return sorted(set.intersection(*complete))


def sources_of(days: Sequence[str], settings: Settings) -> dict[str, str]:
    """For each day a sum over the watches that its snapshot is made of; another sum means another snapshot.

    Equal rows give equal sums, however often and in whatever order they were ingested. Videos and users count
    by day and number of rows only. Other columns or another smoothing of the statistics give other sums, too.
    """
    lake = Lake(settings)
    if not days:
        return {}
    rows = _landed(lake)
    kept = {table: lake.day_counts(table) for table in (VIDEOS, USERS)}
    config = settings.aggregates
    layout = [[*count_columns(key), *rate_columns()] for key in STATS_VIEWS.values()]
    made_by = [layout, config.rate_prior, config.trend_prior]
    sums = {}
    for day in days:
        parts = [part for part in rows if part[0] <= day]
        others = [[t, d, n] for t, counts in kept.items() for d, n in counts.items() if d <= day]
        sums[day] = hashlib.sha256(json.dumps([made_by, parts, others]).encode()).hexdigest()[:16]
    return sums


def build_snapshots(days: Sequence[str], settings: Settings) -> Iterator[tuple[str, dict[str, int]]]:
    """Write the feature rows of each day for every view; yields the day and its rows per view.

    The watches are read once for all days.

    Raises:
        BadInputError: the watches of a day are not in the lake.
    """
    lake = Lake(settings)
    curated = lake.day_counts(WATCHES)
    for day in days:
        if day not in curated:
            raise BadInputError(f"the lake holds no watches of {day}; run `facet ingest {day}` first")
    from features.aggregates.store import Aggregates  # Ibis: not needed to read snapshots

    connection, aggregates = connect(), Aggregates(settings)
    _load_plays(connection, lake, max(days), settings.rule)
    for day in sorted(days):
        yield day, _build_snapshot(connection, lake, day, settings, aggregates)


def _landed(lake: Lake) -> list[tuple[str, str]]:
    """Landing day, and a sum over the rows that landed on it that does not depend on their order."""
    connection = connect()
    lake.scan(connection, WATCHES).create_view("landed")
    return connection.execute(
        f"SELECT {LANDING_DAY}, concat(count(*), ' ', bit_xor(hash(landed))) FROM landed "
        "GROUP BY 1 ORDER BY 1"
    ).fetchall()


def _load_plays(connection: duckdb.DuckDBPyConnection, lake: Lake, newest: str, rule: PositiveRule) -> None:
    event_days = [day for day in lake.day_counts(WATCHES) if day <= newest]
    videos = lake.scan(connection, VIDEOS, [lake.latest_day(VIDEOS, newest)])
    connection.register("videos", videos.to_arrow_table())
    watches = lake.scan(connection, WATCHES, event_days)
    watches_with_actions(watches, connection.sql("FROM videos"), rule).create("all_plays")


def _build_snapshot(
    connection: duckdb.DuckDBPyConnection, lake: Lake, day: str, settings: Settings, aggregates: "Aggregates"
) -> dict[str, int]:
    _create_views(connection, lake, day)
    changed = connection.sql("FROM changed_plays")
    rows = {
        USER_HISTORY: user_histories(changed, end_of(day)).to_arrow_table(),
        USER_SEEN: _pack(user_seen(changed, end_of(day)).to_arrow_table()),
        USER_PROFILE: connection.sql(f"SELECT {USER_ID}, {SEGMENT}, {PROFILE} FROM users").to_arrow_table(),
    }
    for view, entity in STATS_VIEWS.items():
        rows[view] = aggregates.stats(entity, day)
    rows = {view: _with_time(table, day) for view, table in rows.items()}
    check_features(rows, day, _expected(connection, day), settings)
    for view, table in rows.items():
        write_parquet(table, snapshot_path(settings, view, day))
    return {view: table.num_rows for view, table in rows.items()}


def _create_views(connection: duckdb.DuckDBPyConnection, lake: Lake, day: str) -> None:
    """``changed_plays``: what had landed of users with a watch landed on it; ``users`` with a new profile.

    New since the day of watches before, whose snapshot is there or is built first.
    """
    eve = max((other for other in lake.day_counts(WATCHES) if other < day), default=None)
    for name, until in (("users_now", day), ("users_before", eve)):
        snapshot = lake.newest_day(USERS, until) if until else None
        rows = lake.scan(connection, USERS, [snapshot] if snapshot else [])
        connection.register(name, rows.project(f"{USER_ID}, {SEGMENT}, {PROFILE}").to_arrow_table())
    changed = connection.sql(f"FROM users_now EXCEPT FROM users_before ORDER BY {USER_ID}")
    connection.register("users", changed.to_arrow_table())
    connection.execute(f"""
        CREATE OR REPLACE VIEW changed_plays AS
        FROM all_plays WHERE {LANDING_DAY} <= '{day}'
        AND {USER_ID} IN (SELECT {USER_ID} FROM all_plays WHERE {LANDING_DAY} = '{day}')
    """)


def _expected(connection: duckdb.DuckDBPyConnection, day: str) -> Expected:
    """What the watches and users say about the number of rows and plays."""
    query = f"""
        SELECT (SELECT count(DISTINCT {USER_ID}) FROM changed_plays), (SELECT count(*) FROM users),
               count(*) FROM all_plays WHERE {LANDING_DAY} <= '{day}' AND {EVENT_TIME}::DATE = DATE '{day}'
    """
    [(active, users, plays)] = connection.execute(query).fetchall()
    return Expected(
        rows={USER_HISTORY: active, USER_SEEN: active, USER_PROFILE: users},
        plays={"user_stats": plays, "video_stats": plays},
    )


def _pack(seen: pa.Table) -> pa.Table:
    packed = [np.asarray(ids, dtype="<i8").tobytes() for ids in seen[VIDEO_IDS].to_numpy()]
    return pa.table({USER_ID: seen[USER_ID], SEEN_PACKED: pa.array(packed, pa.binary())})


def _with_time(table: pa.Table, day: str) -> pa.Table:
    moment = pa.scalar(end_of(day), TIMESTAMP)
    return table.append_column(AS_OF, pa.repeat(moment, table.num_rows))
