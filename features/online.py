"""What is online, row by row: only rows that differ are written, and a killed run goes on where it stopped.

A ledger (one DuckDB file per online store) holds for every view and entity a hash of the values that are
online, the moment of the newest snapshot row that has been looked at, and the moment that is online. A batch
is noted after it was written, so a kill repeats one batch at most. The ledger is a cache: without it, or
where the store turns out to have lost rows, everything is written again.

The invariant: what is online of an entity is its newest row over all snapshots, as the point-in-time join
finds it. A row whose view expires is written again for its time alone, so that it stays fresh.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import duckdb
import pyarrow as pa
import structlog

from features.days import end_of
from features.errors import StoreUnavailableError
from features.lake import connect
from features.settings import Settings
from features.snapshots import AS_OF, KEY_OF, snapshot_days, snapshot_path
from features.sql import identifier, literal
from features.stage import write_atomically

log = structlog.get_logger(__name__)

BATCH_ROWS: Final = 2000
"""Rows per write: what a kill repeats, and what one transaction of SQLite holds."""
PROGRESS_SECONDS: Final = 5.0
PROBED_ROWS: Final = 20
"""Rows that are looked up before a run, to notice a store that was emptied."""
ONLINE_STATE: Final = "online.json"
"""Holds the moment that the online store is complete for; written after the rows."""


@runtime_checkable
class OnlineWriter(Protocol):
    """Where rows go; ``features.store.FeatureStore`` is one."""

    def write_rows(self, view: str, rows: pa.Table) -> None:
        """Replace the online rows of these entities."""

    def times_of(self, view: str, ids: Sequence[int]) -> list[datetime | None]:
        """The moment of each entity's online row, or ``None`` where there is none."""

    def expires(self, view: str) -> bool:
        """Whether rows of ``view`` are only valid for a time."""


def bring_online(
    writer: OnlineWriter,
    settings: Settings,
    built: Mapping[str, str],
    *,
    views: Mapping[str, str] = KEY_OF,
    batch_rows: int = BATCH_ROWS,
) -> int:
    """Write what differs between the snapshots and the online store; returns how many rows that were.

    Args:
        built: for every day what its snapshot is made of, see ``landed.sources_of``.
        views: names of the views and the keys of their entities.

    Raises:
        StoreUnavailableError: another process is bringing rows online, or the store did not answer.
    """
    days = snapshot_days(settings)
    with Ledger(settings) as ledger:
        if ledger.lacks_rows(writer, next(iter(views))):
            log.warning("the online store lost rows; all are written again")
            ledger.forget()
        changed = ledger.changed_days(days, built)
        written = 0
        if changed:
            for view, key in views.items():
                found = _Changes(ledger, view, key, expires=writer.expires(view))
                total = found.find(changed, days, settings)
                written += _write(writer, found, total, batch_rows)
                found.confirm()
        ledger.note_days({day: built[day] for day in changed if day in built})
    if days:
        state = {"until": end_of(days[-1]).isoformat()}
        write_atomically(settings.feast / ONLINE_STATE, json.dumps(state))
    return written


def online_until(settings: Settings) -> datetime | None:
    """The moment that the online store is complete for, or ``None`` before the first materialize."""
    state = settings.feast / ONLINE_STATE
    try:
        written = state.stat()
    except FileNotFoundError:
        return None
    return _until(state, written.st_ino, written.st_mtime_ns)


@lru_cache(maxsize=8)
def _until(state: Path, inode: int, changed_at: int) -> datetime:
    """Read once per file that was put there: every look-up of recall asks."""
    return datetime.fromisoformat(json.loads(state.read_text())["until"])


def forget_online(settings: Settings) -> None:
    """Write every row again next time."""
    with Ledger(settings) as ledger:
        ledger.forget()


def _write(writer: OnlineWriter, changes: "_Changes", total: int, batch_rows: int) -> int:
    started = told = time.monotonic()
    for first in range(0, total, batch_rows):
        rows = changes.rows(first, batch_rows)
        writer.write_rows(changes.view, rows)
        changes.note(first, batch_rows)
        now, done = time.monotonic(), first + len(rows)
        if now - told > PROGRESS_SECONDS or done == total:
            speed = round(done / max(now - started, 1e-6))
            log.info("rows online", view=changes.view, done=done, total=total, rows_per_second=speed)
            told = now
    return total


class Ledger:
    """The rows of one online store; one process at a time has it open."""

    def __init__(self, settings: Settings) -> None:
        store = hashlib.sha256((settings.redis or "sqlite").encode()).hexdigest()[:8]
        self._path = settings.feast / f"online_rows-{store}.duckdb"

    def __enter__(self) -> "Ledger":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.db = connect(self._path)
        except duckdb.Error as error:
            raise StoreUnavailableError(
                f"{self._path} cannot be opened: {error}; unless another materialize is running, delete the "
                "file and run again: every row is written then"
            ) from error
        self.db.execute("CREATE TABLE IF NOT EXISTS days (day VARCHAR PRIMARY KEY, source VARCHAR)")
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def open_view(self, view: str) -> str:
        """Name of the table of ``view``, which exists afterwards."""
        name = identifier(f"view_{view}")
        self.db.execute(
            f"CREATE TABLE IF NOT EXISTS {name} "
            "(id BIGINT PRIMARY KEY, hash UBIGINT, known BIGINT, online BIGINT)"
        )
        return name

    def changed_days(self, days: Sequence[str], built: Mapping[str, str]) -> list[str]:
        """Those of ``days`` whose snapshot was made of something else when it was brought online."""
        noted = dict(self.db.execute("SELECT day, source FROM days").fetchall())
        return [day for day in days if day not in built or noted.get(day) != built[day]]

    def note_days(self, sources: Mapping[str, str]) -> None:
        """All rows of these days are online."""
        for day, source in sources.items():
            self.db.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", [day, source])

    def lacks_rows(self, writer: OnlineWriter, view: str) -> bool:
        """Whether some row of ``view`` that was written is gone."""
        probed = self.db.execute(
            f"SELECT id FROM {self.open_view(view)} ORDER BY hash LIMIT {PROBED_ROWS}"
        ).fetchall()
        ids = [entity for (entity,) in probed]
        return bool(ids) and None in writer.times_of(view, ids)

    def forget(self) -> None:
        """Nothing counts as online any more."""
        for (name,) in self.db.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT temporary"
        ).fetchall():
            self.db.execute(f"DROP TABLE {identifier(name)}")
        self.db.execute("CREATE TABLE days (day VARCHAR PRIMARY KEY, source VARCHAR)")


class _Changes:
    """Rows of one view that differ from what is online.

    Temporary tables: ``newest`` (moment of the newest row, of entities with a row on a changed day), ``gone``
    (entities whose known row is not in its snapshot any more), ``changed`` (rows to write).
    """

    def __init__(self, ledger: Ledger, view: str, key: str, *, expires: bool) -> None:
        self.view = view
        self._db = ledger.db
        self._key = key
        self._ledger = ledger.open_view(view)
        self._expires = expires

    def find(self, changed: Sequence[str], days: Sequence[str], settings: Settings) -> int:
        """Number of rows to write, where the snapshots of ``changed`` out of all ``days`` are other ones."""
        self._find_newest(changed, settings)
        any_gone = self._find_gone(changed, days, settings)
        source = self._rows_of(days if any_gone else changed, settings)
        described = self._db.execute(f"DESCRIBE FROM {source}").fetchall()
        self._types = {name: kind for name, kind, *_ in described}
        values = [identifier(name) for name in self._types if name not in (self._key, AS_OF)]
        other = f"row_hash <> known_row.hash OR ({self._expires} AND newest.moment <> known_row.online)"
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE changed AS
            SELECT rows.*, row_number() OVER () - 1 AS place
            FROM (SELECT *, hash({", ".join(values)}) AS row_hash FROM {source}) AS rows
            JOIN newest ON rows.{self._key} = newest.id AND epoch_us({AS_OF}) = newest.moment
            LEFT JOIN {self._ledger} AS known_row ON known_row.id = newest.id
            WHERE known_row.id IS NULL
                  OR (newest.moment >= known_row.known OR newest.id IN (FROM gone)) AND ({other})
        """)
        if any_gone:
            self._add_empty_rows(end_of(max(changed)))
        [(total,)] = self._db.execute("SELECT count(*) FROM changed").fetchall()
        return total

    def rows(self, first: int, size: int) -> pa.Table:
        """Some rows to write, as they are in the snapshots."""
        where = f"place BETWEEN {first} AND {first + size - 1}"
        return self._db.sql(f"SELECT * EXCLUDE (row_hash, place) FROM changed WHERE {where}").to_arrow_table()

    def note(self, first: int, size: int) -> None:
        """These rows are online now."""
        self._db.execute(f"""
            INSERT OR REPLACE INTO {self._ledger}
            SELECT {self._key}, row_hash, epoch_us({AS_OF}), epoch_us({AS_OF}) FROM changed
            WHERE place BETWEEN {first} AND {first + size - 1}
        """)

    def confirm(self) -> None:
        """All that differed is online: what was equal counts as looked at, too."""
        self._db.execute(f"""
            UPDATE {self._ledger} AS noted SET known = newest.moment FROM newest
            WHERE noted.id = newest.id AND (newest.moment > known OR noted.id IN (FROM gone))
        """)
        self._db.execute(
            f"DELETE FROM {self._ledger} WHERE id IN (FROM gone) AND id NOT IN (SELECT id FROM newest)"
        )

    def _find_newest(self, changed: Sequence[str], settings: Settings) -> None:
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE newest AS
            SELECT {self._key} AS id, max(epoch_us({AS_OF})) AS moment
            FROM {self._rows_of(changed, settings)} GROUP BY ALL
        """)

    def _find_gone(self, changed: Sequence[str], days: Sequence[str], settings: Settings) -> bool:
        """Fill ``gone``, and let ``newest`` fall back to an earlier row of these entities."""
        moments = ", ".join(str(int(end_of(day).timestamp()) * 1_000_000) for day in changed)
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE gone AS SELECT noted.id FROM {self._ledger} AS noted
            ANTI JOIN newest ON noted.id = newest.id AND newest.moment >= noted.known
            WHERE noted.known IN ({moments})
        """)
        [(number,)] = self._db.execute("SELECT count(*) FROM gone").fetchall()
        if number:
            self._db.execute("DELETE FROM newest WHERE id IN (FROM gone)")
            self._db.execute(f"""
                INSERT INTO newest SELECT {self._key}, max(epoch_us({AS_OF}))
                FROM {self._rows_of(days, settings)} WHERE {self._key} IN (FROM gone) GROUP BY ALL
            """)
        return number > 0

    def _add_empty_rows(self, moment: datetime) -> None:
        """Entities without any row left: through Feast a row cannot be deleted, only emptied."""
        empty = {self._key: "id", AS_OF: f"TIMESTAMPTZ {literal(moment.isoformat())}"}
        for name, kind in self._types.items():
            value = "[]" if kind.endswith("[]") else "''::BLOB" if kind == "BLOB" else "NULL"
            empty.setdefault(name, value)
        columns = ", ".join(f"{value} AS {identifier(name)}" for name, value in empty.items())
        self._db.execute(f"""
            INSERT INTO changed BY NAME
            SELECT {columns}, 0 AS row_hash,
                   (SELECT count(*) FROM changed) + row_number() OVER () - 1 AS place
            FROM gone WHERE id NOT IN (SELECT id FROM newest)
        """)

    def _rows_of(self, days: Sequence[str], settings: Settings) -> str:
        files = ", ".join(literal(str(snapshot_path(settings, self.view, day))) for day in days)
        return f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
