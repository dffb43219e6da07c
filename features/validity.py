"""From when to when a row of videos or users held: the daily snapshots as slowly changing rows.

Snapshots are compared by content, ``landing_day`` left out. A row holds from the first snapshot of a run of
equal ones to the first snapshot in which it differs or is absent; a row that comes back begins a new run.
"""

from typing import Final

import duckdb

from features.errors import BadInputError
from features.lake import Lake
from features.schema import KEYS, LANDING_DAY, SCHEMAS, SNAPSHOT_DAY, USERS, VIDEOS

VALID_FROM: Final = "valid_from"
VALID_TO: Final = "valid_to"


def validity(
    connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, until: str | None = None
) -> duckdb.DuckDBPyRelation:
    """The landing columns of ``table``, ``valid_from`` and ``valid_to`` (exclusive, null: still).

    Args:
        until: newest snapshot day that is looked at; all if ``None``.

    Raises:
        BadInputError: ``table`` has no snapshots.
    """
    if table not in (VIDEOS, USERS):
        raise BadInputError(f"{table} is no table of snapshots; there are {VIDEOS} and {USERS}")
    days = [day for day in lake.day_counts(table) if until is None or day <= until]
    snapshots = lake.scan(connection, table, days)
    names = SCHEMAS[table].names
    key = KEYS[table]
    found = snapshots.query(
        "snapshots",
        f"""
        WITH numbered AS (
            SELECT * EXCLUDE ({LANDING_DAY}), dense_rank() OVER (ORDER BY {SNAPSHOT_DAY}) AS place,
                   hash({", ".join(names)}) AS content
            FROM snapshots
        ), days AS (SELECT DISTINCT place, {SNAPSHOT_DAY} FROM numbered),
        runs AS (
            SELECT *, place - row_number() OVER (PARTITION BY {key}, content ORDER BY place) AS run
            FROM numbered
        ), spans AS (
            SELECT {", ".join(f"any_value({name}) AS {name}" for name in names if name != key)}, {key},
                   min({SNAPSHOT_DAY}) AS {VALID_FROM}, max(place) + 1 AS next_place
            FROM runs GROUP BY {key}, content, run
        )
        SELECT {", ".join(names)}, {VALID_FROM}, {SNAPSHOT_DAY} AS {VALID_TO}
        FROM spans LEFT JOIN days ON place = next_place
        ORDER BY {key}, {VALID_FROM}
        """,
    )
    assert found is not None, "a SELECT has a result"
    return found
