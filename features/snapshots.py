"""One day's feature rows, as Parquet exports that Feast reads: ``feast/offline/<view>/<day>.parquet``.

Rows of day D are true at the end of D and hold what had *landed* by then: ``landing_day <= D`` and
``event_time < end of D``. So a snapshot that is built again, after late events arrived, is the same; what
arrived late shows up in the snapshot of the day on which it arrived. Only when a landing day itself comes
out of order does a snapshot change; ``landed.sources_of`` tells. Rows that did not change are not written
again: histories, affinities and follows are those of users with a landed watch (for follows: with a follow)
on D, profiles those that differ from the day before. A point-in-time join finds the newest row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa

from features.aggregates.columns import LONG_WATCH_RATE, SHARE
from features.days import end_of
from features.errors import BadInputError
from features.follows import user_follows
from features.history import user_histories, user_seen, watches_with_actions
from features.lake import Lake, connect
from features.positives import Action, PositiveRule
from features.schema import (
    ACTIONS,
    EVENT_DAY,
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
from features.validation.features_suite import Expected, FeatureChecks

if TYPE_CHECKING:
    from features.aggregates.store import Aggregates

USER_HISTORY: Final = "user_history"
USER_SEEN: Final = "user_seen"
USER_PROFILE: Final = "user_profile"
USER_FOLLOWS: Final = "user_follows"
USER_RECENT: Final = "user_recent"
USER_SHOWN: Final = "user_shown"
"""These two are pushed, never materialized: no snapshot has them."""
STATS_VIEWS: Final[dict[str, str]] = {
    "user_stats": USER_ID,
    "video_stats": VIDEO_ID,
    "uploader_stats": UPLOADER_ID,
    "tag_stats": TAG_ID,
}
AFFINITY_VIEWS: Final[dict[str, str]] = {
    "user_uploader_affinity": UPLOADER_ID,
    "user_tag_affinity": TAG_ID,
}
AFFINITY_LENGTH: Final = 20
"""Uploaders, and tags, kept per user, by share."""
KEY_OF: Final[dict[str, str]] = {
    **dict.fromkeys((USER_HISTORY, USER_SEEN, USER_PROFILE, USER_FOLLOWS, *AFFINITY_VIEWS), USER_ID),
    **STATS_VIEWS,
}
"""Every view that is built from the lake, and the entity of its rows."""
VIEWS: Final = tuple(KEY_OF)
AS_OF: Final = "event_timestamp"
"""The moment that a feature row is true for: the end of its day."""
SEEN_PACKED: Final = "seen_packed"
"""Little-endian int64 ids, sorted: one value instead of 2,000 (Feast's cost is per value)."""


def affinity_columns(entity: str) -> tuple[str, str, str]:
    """Names of the three lists of an affinity view: ids, shares of the user's positives, long-watch rates."""
    stem = entity.removesuffix("_id")
    return f"{stem}_ids", f"{stem}_{SHARE}s", f"{stem}_{LONG_WATCH_RATE}s"


def snapshot_path(settings: Settings, view: str, day: str) -> Path:
    """Where the rows of one view and day lie."""
    return settings.feast / "offline" / view / f"{day}.parquet"


def snapshot_days(settings: Settings) -> list[str]:
    """Days whose snapshot is complete, oldest first."""
    complete = [
        {path.stem for path in (settings.feast / "offline" / view).glob("*.parquet")} for view in VIEWS
    ]
    return sorted(set.intersection(*complete))


def build_snapshots(days: Sequence[str], settings: Settings) -> Iterator[tuple[str, dict[str, int]]]:
    """Write the feature rows of each day for every view; yields the day and its rows per view.

    Of the watches, those of users with news on any of ``days`` are read, once for all.

    Raises:
        BadInputError: the watches of a day are not in the lake.
    """
    if not days:
        return
    lake = Lake(settings)
    curated = lake.day_counts(WATCHES)
    for day in days:
        if day not in curated:
            raise BadInputError(f"the lake holds no watches of {day}; run `facet ingest {day}` first")
    from features.aggregates.store import Aggregates  # Ibis: not needed to read snapshots

    connection, aggregates, checks = connect(), Aggregates(settings), FeatureChecks(days, settings)
    _load_watches(connection, lake, days)
    for day in sorted(days):
        _load_day(connection, lake, day, settings.rule)
        rows = _rows_of(connection, day, aggregates)
        checks.check(rows, day, _expected(connection, lake, day))
        for view, table in rows.items():
            write_parquet(table, snapshot_path(settings, view, day))
        yield day, {view: table.num_rows for view, table in rows.items()}
    checks.build_docs()


def _load_watches(connection: duckdb.DuckDBPyConnection, lake: Lake, days: Sequence[str]) -> None:
    """``landed``: what had landed by the newest of ``days``, of users with a watch landed on any of them."""
    event_days = [day for day in lake.day_counts(WATCHES) if day <= max(days)]
    lake.scan(connection, WATCHES, event_days).create_view("lake_watches")
    new = lake.scan(connection, WATCHES, lake.days_landed_on(WATCHES, days))
    listed = ", ".join(f"'{day}'" for day in days)
    new.filter(f"{LANDING_DAY} IN ({listed})").project(USER_ID).distinct().create("users_with_news")
    connection.execute(f"""
        CREATE TABLE landed AS FROM lake_watches
        WHERE {LANDING_DAY} <= '{max(days)}' AND {USER_ID} IN (FROM users_with_news)
    """)


def _load_day(connection: duckdb.DuckDBPyConnection, lake: Lake, day: str, rule: PositiveRule) -> None:
    """``videos`` as of the day, ``plays`` of users with a watch landed on it, ``users`` of new profile."""
    snapshot = lake.newest_day(VIDEOS, day) or min(lake.day_counts(VIDEOS))
    videos = lake.scan(connection, VIDEOS, [snapshot])
    connection.register("videos", videos.to_arrow_table())
    known = connection.sql(f"""
        FROM landed WHERE {LANDING_DAY} <= '{day}'
        AND {USER_ID} IN (SELECT {USER_ID} FROM landed WHERE {LANDING_DAY} = '{day}')
    """)
    connection.execute("DROP TABLE IF EXISTS plays")
    watches_with_actions(known, connection.sql("FROM videos"), rule).create("plays")
    # New since the day of watches before, whose snapshot is there or is built first.
    eve = max((other for other in lake.day_counts(WATCHES) if other < day), default=None)
    for name, until in (("users_now", day), ("users_before", eve)):
        newest = lake.newest_day(USERS, until) if until else None
        rows = lake.scan(connection, USERS, [newest] if newest else [])
        connection.register(name, rows.project(f"{USER_ID}, {SEGMENT}, {PROFILE}").to_arrow_table())
    changed = connection.sql(f"FROM users_now EXCEPT FROM users_before ORDER BY {USER_ID}")
    connection.register("users", changed.to_arrow_table())


def _rows_of(
    connection: duckdb.DuckDBPyConnection, day: str, aggregates: "Aggregates"
) -> dict[str, pa.Table]:
    plays, end = connection.sql("FROM plays"), end_of(day)
    followers = plays.filter(
        f"{USER_ID} IN (SELECT {USER_ID} FROM plays "
        f"WHERE {LANDING_DAY} = '{day}' AND {ACTIONS} & {Action.FOLLOWED.value} <> 0)"
    )
    follows = user_follows(followers, connection.sql("FROM videos"), end)
    rows = {
        USER_HISTORY: user_histories(plays, end).to_arrow_table(),
        USER_SEEN: _pack(user_seen(plays, end).to_arrow_table()),
        USER_PROFILE: connection.sql(f"SELECT {USER_ID}, {SEGMENT}, {PROFILE} FROM users").to_arrow_table(),
        USER_FOLLOWS: follows.to_arrow_table(),
    }
    for view, entity in STATS_VIEWS.items():
        rows[view] = aggregates.stats(entity, day)
    for view, entity in AFFINITY_VIEWS.items():
        rows[view] = _listed(aggregates.affinities(entity, day, top=AFFINITY_LENGTH), entity)
    return {view: _with_time(table, day) for view, table in rows.items()}


def _expected(connection: duckdb.DuckDBPyConnection, lake: Lake, day: str) -> Expected:
    """What the watches and users say about the number of rows and plays."""
    query = f"SELECT (SELECT count(DISTINCT {USER_ID}) FROM plays), (SELECT count(*) FROM users)"
    [(active, users)] = connection.execute(query).fetchall()
    of_day = lake.scan(connection, WATCHES, [day])
    [(plays,)] = of_day.filter(f"{LANDING_DAY} <= '{day}' AND {EVENT_DAY} = '{day}'").count("*").fetchall()
    return Expected(
        rows={USER_HISTORY: active, USER_SEEN: active, USER_PROFILE: users},
        plays={"user_stats": plays, "video_stats": plays},
    )


def _pack(seen: pa.Table) -> pa.Table:
    packed = [np.asarray(ids, dtype="<i8").tobytes() for ids in seen[VIDEO_IDS].to_numpy()]
    return pa.table({USER_ID: seen[USER_ID], SEEN_PACKED: pa.array(packed, pa.binary())})


def _listed(affinities: pa.Table, entity: str) -> pa.Table:
    """One row per user instead of one per pair; both are sorted by user, strongest first.

    Where nobody's positives are known there are no shares, and no rows.
    """
    affinities = affinities.filter(affinities[SHARE].is_valid())
    users = affinities[USER_ID].to_numpy()
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    offsets = pa.array(np.append(starts, len(users)), pa.int32())
    lists = {USER_ID: pa.array(users[starts], pa.int64())}
    for name, column in zip(affinity_columns(entity), (entity, SHARE, LONG_WATCH_RATE), strict=True):
        values = affinities[column].combine_chunks()
        lists[name] = pa.ListArray.from_arrays(offsets, values)
    return pa.table(lists)


def _with_time(table: pa.Table, day: str) -> pa.Table:
    moment = pa.scalar(end_of(day), TIMESTAMP)
    return table.append_column(AS_OF, pa.repeat(moment, table.num_rows))
