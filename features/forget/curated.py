"""Users out of the curated tables, and out of their history: old versions and the log of Delta.

A day that holds a user is written again without their rows. Then the files that still hold them, of
whatever version, are deleted, and with them what the log says of these files: the smallest and largest
value of each column. Versions that were made of such files cannot be read any more, all others can.
"""

import json
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from features.forget.landed import TABLES_OF_USERS
from features.forget.users import Users
from features.lake import ORDER, Lake, connect, curated_schema
from features.settings import Settings
from features.stage import write_atomically

BATCH_ROWS: Final = 131_072
_OF_VALUES: Final = ("minValues", "maxValues", "nullCount")
"""Statistics in the log that quote values; the number of rows stays."""


def erase_lake(users: Users, settings: Settings) -> int:
    """Remove the rows of ``users`` from every table and version; returns how many the newest one held.

    Raises:
        RetryLaterError: somebody else writes one of the days.
    """
    if not users.ids:
        return 0
    lake = Lake(settings)
    erased = 0
    for table in TABLES_OF_USERS:
        holding = _files_holding(users, settings.lake / table)
        days = {path.parent.name.partition("=")[2] for path in holding}
        for day in sorted(days & lake.day_counts(table).keys()):
            erased += _erase_day(users, lake, table, day)
        if holding:
            _forget_statistics(settings.lake / table, holding)
            lake.checkpoint(table)
        for path in holding:
            path.unlink()
    return erased


def _erase_day(users: Users, lake: Lake, table: str, day: str) -> int:
    connection, schema = connect(), curated_schema(table)
    rows = lake.scan(connection, table, [day])
    [(number,)] = rows.filter(users.own_sql()).aggregate("count(*)").fetchall()
    if number:
        kept = rows.filter(f"NOT {users.own_sql()}").order(", ".join(ORDER[table]))
        reader = kept.project(", ".join(schema.names)).to_arrow_reader(BATCH_ROWS)
        batches = (batch.cast(schema) for batch in reader)
        lake.write_day(table, day, pa.RecordBatchReader.from_batches(schema, batches))
    return int(number)


def _files_holding(users: Users, folder: Path) -> list[Path]:
    """Data files with rows of ``users``, those of old versions and of killed writes too."""
    files = [str(path) for path in folder.glob("*=*/*.parquet")]
    if not files:
        return []
    found = connect().execute(
        "SELECT DISTINCT filename FROM read_parquet($files, filename = true, hive_partitioning = false) "
        f"WHERE {users.own_sql()}",
        {"files": files},
    )
    return sorted(Path(name) for (name,) in found.fetchall())


def _forget_statistics(folder: Path, holding: list[Path]) -> None:
    """Drop what the log quotes of the values of these files."""
    names = {path.relative_to(folder).as_posix() for path in holding}
    for entry in sorted((folder / "_delta_log").glob("*.json")):
        lines = [json.loads(line) for line in entry.read_text().splitlines() if line]
        if any([_strip(action["add"], names) for action in lines if "add" in action]):
            write_atomically(entry, "\n".join(json.dumps(line) for line in lines))


def _strip(added: dict[str, Any], names: set[str]) -> bool:
    if added["path"] not in names or not added.get("stats"):
        return False
    stats = json.loads(added["stats"])
    kept = {name: value for name, value in stats.items() if name not in _OF_VALUES}
    added["stats"] = json.dumps(kept)
    return kept != stats
