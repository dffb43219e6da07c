"""Sums over what had landed by the end of a day: a feature snapshot is made again only if its sum changed.

Sums of a partition are kept by the names of its files (``feast/landed_sums.json``), which differ if and only
if it was rewritten: a new day costs a day. Equal rows give equal sums, however often and in whatever order
they were ingested.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from features.aggregates.columns import count_columns, rate_columns
from features.lake import Lake, connect
from features.schema import LANDING_DAY, USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.stage import write_atomically

VERSION: Final = 2
"""Raise it when snapshots are built in another way; then all are made again."""
KEPT: Final = "landed_sums.json"

Sums = dict[str, list[int]]
"""Landing day to number of rows and to the exclusive or of their hashes."""


def sources_of(days: Sequence[str], settings: Settings) -> dict[str, str]:
    """For each day a sum over all that its snapshot is made of; another sum means another snapshot.

    Other columns, another positive rule (action codes depend on it) or other smoothing give other sums, too.
    """
    if not days:
        return {}
    lake = Lake(settings)
    kept = _read_kept(settings)
    current = {table: _sums_by_day(lake, table, kept.get(table, {})) for table in (WATCHES, VIDEOS, USERS)}
    write_atomically(settings.feast / KEPT, json.dumps(current))
    config = settings.aggregates
    smoothing = [
        config.rate_prior,
        config.trend_prior,
        config.affinity_prior,
        config.affinity_half_life_days,
    ]
    made_by = [VERSION, count_columns(""), rate_columns(), smoothing, settings.rule.model_dump_json()]
    found = {}
    for day in days:
        parts = [[table, _landed_until(partitions, day)] for table, partitions in current.items()]
        found[day] = hashlib.sha256(json.dumps([made_by, parts]).encode()).hexdigest()[:16]
    return found


def _sums_by_day(lake: Lake, table: str, kept: dict[str, dict]) -> dict[str, dict]:
    """``{partition: {"files": names, "sums": Sums}}``; only partitions with other files are read."""
    found = {}
    for day in lake.day_counts(table):
        files = lake.partition_files(table, day)
        same = kept.get(day, {}).get("files") == files
        found[day] = kept[day] if same else {"files": files, "sums": _sums(lake, table, day)}
    return found


def _sums(lake: Lake, table: str, day: str) -> Sums:
    connection = connect()
    lake.scan(connection, table, [day]).create_view("landed")
    rows = connection.execute(
        f"SELECT {LANDING_DAY}, count(*), bit_xor(hash(landed)) FROM landed GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return {landing_day: [count, total] for landing_day, count, total in rows}


def _landed_until(partitions: dict[str, dict], day: str) -> list[list]:
    totals: Sums = {}
    for partition in partitions.values():
        for landing_day, (count, total) in partition["sums"].items():
            if landing_day <= day:
                before = totals.get(landing_day, [0, 0])
                totals[landing_day] = [before[0] + count, before[1] ^ total]
    return sorted([landing_day, *sums] for landing_day, sums in totals.items())


def _read_kept(settings: Settings) -> dict[str, dict]:
    place = settings.feast / KEPT
    return json.loads(place.read_text()) if place.exists() else {}
