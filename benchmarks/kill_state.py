"""What a home holds, as checksums that do not depend on when or how often it was written."""

import hashlib
import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import structlog

from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.stage import COMMITTED_FILE, STAGE_FILE, VALIDATED_FILE

log = structlog.get_logger(__name__)

MARKERS = (STAGE_FILE, VALIDATED_FILE, COMMITTED_FILE)


def fingerprint(settings: Settings) -> dict[str, str]:
    """Sum by what it is of: curated partitions, stages, quarantine, snapshots, online rows."""
    lake = Lake(settings)
    found = {
        f"lake/{table}/{day}": lake.checksum(table, day)
        for table in (WATCHES, VIDEOS, USERS)
        for day in lake.day_counts(table)
    }
    folders = (settings.staging, settings.quarantine, settings.feast / "offline")
    for path in (path for folder in folders for path in folder.rglob("*.parquet")):
        if not path.name.startswith("."):
            found[str(path.relative_to(settings.root))] = _sum_of(path)
    for marker in (path for name in MARKERS for path in settings.staging.glob(f"*/{name}")):
        found[str(marker.relative_to(settings.root))] = "there"
    return found | _online(settings.feast / "online.db")


def is_equal(found: dict[str, str], wanted: dict[str, str], task: str) -> bool:
    """Whether both are the same; what differs is logged."""
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        log.error("a kill changed something", task=task, differing=differing)
    return not differing


def _sum_of(path: Path) -> str:
    table = pq.read_table(path)
    rows = sorted(str(row) for row in table.to_pylist())
    return hashlib.md5("".join(rows).encode()).hexdigest()


def _online(database: Path) -> dict[str, str]:
    """Sum per view over entity, feature, value and event time; when a row was written does not count."""
    if not database.exists():
        return {}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {}
    for table in sorted(tables):
        columns = "entity_key, feature_name, value, event_ts"
        rows = connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()
        found[f"online/{table.split('_', 1)[1]}"] = hashlib.md5(repr(rows).encode()).hexdigest()
    connection.close()
    return found
