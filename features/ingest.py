"""Landing files to curated partitions: stage, validate, commit. Every step can be killed and run again.

Watches go to the partition of their own UTC event day, so late events rewrite an older day; a partition
is replaced as a whole. Videos and users are snapshots: one partition per landing day. Rows that break a
rule go to quarantine. ``read = kept + duplicate + quarantined`` holds for every table and landing day.

Ingesting a landing day replaces the rows that the same landing day brought before, and notes which files it
read (``features/landing_manifest.py``). Among rows of equal
key the earliest (landing day, file, line) wins, so the result depends neither on the order of ingests nor
on how the days are grouped into calls.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from features.days import end_of
from features.errors import BadInputError, RetryLaterError, StaleStageError
from features.lake import ORDER, PARTITION, Lake, connect, curated_schema, rows_checksum
from features.landing import TABLES, Landing
from features.landing_manifest import Manifest, pending_days, rules_key
from features.replays import drop_replaced, is_replay
from features.rules import rule_sql, typed_sql
from features.schema import (
    EVENT_TIME,
    FILE,
    KEYS,
    LANDING_DAY,
    LINE,
    RAW,
    RULE,
    SCHEMAS,
    USERS,
    VIDEOS,
    WATCHES,
)
from features.settings import Settings
from features.stage import (
    COMMITTED_FILE,
    Counts,
    Partition,
    Stage,
    mark,
    require_validated,
    write_atomically,
    write_parquet,
)
from features.text_rows import text_rows

log = structlog.get_logger(__name__)

QUARANTINE: Final = "quarantine"
FILE_ORDER: Final = "file_order"
_DAY_OF_ROW: Final[dict[str, str]] = {
    WATCHES: f"strftime({EVENT_TIME}, '%Y-%m-%d')",
    VIDEOS: LANDING_DAY,
    USERS: LANDING_DAY,
}


def ingest(days: Sequence[str] | None = None, *, settings: Settings | None = None) -> Stage:
    """Stage, validate and commit the landing folders of ``days``; returns the counts and partitions.

    Args:
        days: again if need be; by default those with new or changed files.

    Raises:
        InvalidDataError: validation failed; the lake is as before.
    """
    from features.validation import validate

    settings = settings or Settings()
    if days is None and not (days := pending_days(settings)):
        return Stage(landing_days=[], counts=[], partitions=[], files={})
    folder = stage(days, settings=settings)
    validate(folder, settings=settings)
    commit(folder, settings=settings)
    return Stage.open(Path(folder))


def stage(days: Sequence[str], *, settings: Settings | None = None) -> str:
    """Build the partitions that the landing folders of ``days`` lead to, and return the stage's folder.

    Raises:
        BadInputError: a day has no watches in landing, or a file cannot be read at all.
        RetryLaterError: a file was replaced while it was read.
    """
    settings = settings or Settings()
    days = sorted(set(days))
    folder = settings.staging / f"{days[0]}..{days[-1]}"
    _clear_stages(settings, folder)
    database = folder / "rows.duckdb"  # on disk: a range of days may not fit in memory
    connection = connect(database)
    landing = Landing(settings, folder / "landing")
    files = {day: landing.stamps(day) for day in days}
    for day, stamps in files.items():
        _tell_changes(settings, day, stamps)
    staging = _Staging(connection, Lake(settings), landing, folder)
    partitions: list[Partition] = []
    counts: list[Counts] = []
    for table in TABLES:
        landed = [day for day in days if staging.read_landing(table, day)]
        partitions += [staging.build_partition(table, day, landed) for day in staging.touched(table, landed)]
        counts += [staging.count(table, day) for day in landed]
        for day in landed:
            staging.write_quarantine(table, day)
    connection.close()
    database.unlink()
    landing.forget_copies()
    replaced = [day for day, stamps in files.items() if landing.stamps(day) != stamps]
    if replaced:
        raise RetryLaterError(f"landing files of {', '.join(replaced)} came or went meanwhile; run again")
    unbalanced = [count for count in counts if not count.balanced]
    assert not unbalanced, f"rows were lost or counted twice: {unbalanced}"
    Stage(landing_days=days, counts=counts, partitions=partitions, files=files).write(folder)
    return str(folder)


def commit(folder: str, *, settings: Settings | None = None) -> list[str]:
    """Replace the partitions of a validated stage in the lake, oldest first; returns the landing days.

    Raises:
        InvalidDataError: the stage has not passed validation.
        StaleStageError: a partition changed since it was staged; stage again.
    """
    settings = settings or Settings()
    place = Path(folder)
    staged = Stage.open(place)
    require_validated(place)
    for partition in staged.partitions:
        _commit_partition(Lake(settings), partition, place)
    for count in staged.counts:
        refused = place / QUARANTINE / count.table / f"{count.landing_day}.parquet"
        kept = settings.quarantine / count.table / refused.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(refused, kept)
    for day in staged.landing_days:
        found = [count for count in staged.counts if count.landing_day == day]
        write_atomically(
            settings.reports / "ingest" / f"{day}.jsonl",
            "\n".join(count.model_dump_json() for count in found),
        )
        Manifest(rules=rules_key(), files=staged.files[day]).write(settings, day)
        for count in found:
            log.info("landing day committed", **count.model_dump())
    mark(place, COMMITTED_FILE, landing_days=staged.landing_days)
    return staged.landing_days


def newest_committed_day(*, settings: Settings | None = None) -> str | None:
    """The newest landing day that was ever committed, or ``None``."""
    reports = (settings or Settings()).reports / "ingest"
    return max((path.stem for path in reports.glob("*.jsonl")), default=None)


class _Staging:
    """The rows of one call of ``stage`` (``<table>_rows``) and what became of them (``<table>_outcomes``)."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lake: Lake, landing: Landing, folder: Path
    ) -> None:
        self._sql = connection
        self._lake = lake
        self._landing = landing
        self._folder = folder
        for table in TABLES:
            connection.register("no_rows", _rows_schema(table).empty_table())
            connection.execute(f"CREATE TABLE {table}_rows AS FROM no_rows")
            connection.execute(
                f"CREATE TABLE {table}_outcomes ({LANDING_DAY} VARCHAR, is_kept BOOLEAN, rows BIGINT)"
            )

    def read_landing(self, table: str, day: str) -> int:
        """Append the typed rows of one landing folder; returns the number of its files."""
        files = self._landing.files(table, day)
        if table == WATCHES and not files:
            folder = self._landing.folder(table, day)
            raise BadInputError(f"{folder} holds no files; land the watches of {day} there first")
        for order, file in enumerate(files):
            self._sql.register("text_rows", text_rows(self._sql, table, self._landing.fetch(file)))
            try:
                self._append_typed(table, day, order)
            except (duckdb.InvalidInputException, duckdb.IOException) as error:
                reason = str(error).partition(" Detail: ")[0]
                raise BadInputError(f"{file.path}: {reason}") from error
        if any(is_replay(file.name) for file in files):
            drop_replaced(self._sql, table, day)
        return len(files)

    def _append_typed(self, table: str, day: str, order: int) -> None:
        self._sql.execute(f"""
            INSERT INTO {table}_rows BY NAME
            SELECT * REPLACE (CASE WHEN {RULE} IS NOT NULL THEN {RAW} END AS {RAW})
            FROM (SELECT {rule_sql(table, end_of(day))} AS {RULE}, {typed_sql(table)}, {FILE}, {LINE}, {RAW},
                         '{day}' AS {LANDING_DAY}, {order} AS {FILE_ORDER}
                  FROM text_rows)  -- rules and types side by side: DuckDB computes what they share once
        """)

    def touched(self, table: str, landed: Sequence[str]) -> list[str]:
        """Partitions that the read rows go to, or that hold rows of an earlier ingest of the same days."""
        found = self._sql.execute(
            f"SELECT DISTINCT {_DAY_OF_ROW[table]} FROM {table}_rows WHERE {RULE} IS NULL"
        ).fetchall()
        return sorted({str(day) for (day,) in found} | self._lake.days_landed_on(table, landed))

    def build_partition(self, table: str, day: str, landed: Sequence[str]) -> Partition:
        """Write one whole partition: the lake's rows of other landing days and the rows just read."""
        columns = ", ".join((*SCHEMAS[table].names, LANDING_DAY))
        earliest = f"{LANDING_DAY}, {FILE_ORDER}, {LINE}"
        self._sql.register("old_rows", self._lake.scan(self._sql, table, [day]))
        self._sql.execute(f"""
            CREATE OR REPLACE TABLE ranked AS
            SELECT *, '{day}' AS {PARTITION[table]},
                   row_number() OVER (PARTITION BY {KEYS[table]} ORDER BY {earliest}) AS place
            FROM (SELECT {columns}, -1 AS {FILE_ORDER}, 0 AS {LINE} FROM old_rows
                  WHERE {LANDING_DAY} NOT IN ({", ".join(f"'{landing_day}'" for landing_day in landed)})
                  UNION ALL
                  SELECT {columns}, {FILE_ORDER}, {LINE} FROM {table}_rows
                  WHERE {RULE} IS NULL AND {_DAY_OF_ROW[table]} = '{day}')
        """)
        self._sql.execute(f"""
            INSERT INTO {table}_outcomes
            SELECT {LANDING_DAY}, place = 1, count(*) FROM ranked WHERE {FILE_ORDER} >= 0 GROUP BY ALL
        """)
        best = f"SELECT {', '.join(curated_schema(table).names)} FROM ranked WHERE place = 1"
        rows = self._sql.sql(f"{best} ORDER BY {', '.join(ORDER[table])}").to_arrow_table()
        base_files = self._lake.partition_files(table, day)
        partition = Partition(table=table, day=day, rows=rows.num_rows, base_files=base_files)
        write_parquet(rows.cast(curated_schema(table)), partition.path(self._folder))
        return partition

    def count(self, table: str, day: str) -> Counts:
        """Where the rows of one landing day went; the four numbers come from different queries on purpose."""
        rows = f"FROM {table}_rows WHERE {LANDING_DAY} = '{day}'"
        [(read,)] = self._sql.execute(f"SELECT count(*) {rows}").fetchall()
        rules = self._sql.execute(
            f"SELECT {RULE}, count(*) {rows} AND {RULE} IS NOT NULL GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        outcomes = dict(
            self._sql.execute(
                f"SELECT is_kept, sum(rows) FROM {table}_outcomes WHERE {LANDING_DAY} = '{day}' GROUP BY ALL"
            ).fetchall()
        )
        return Counts(
            table=table,
            landing_day=day,
            read=read,
            kept=int(outcomes.get(True, 0)),
            duplicate=int(outcomes.get(False, 0)),
            quarantined=sum(count for _, count in rules),
            rules=dict(rules),
        )

    def write_quarantine(self, table: str, day: str) -> None:
        """The refused rows of one landing day; an empty file if there are none, to replace an older one."""
        rows = self._sql.sql(
            f"SELECT {FILE}, {LINE}, {RULE}, {RAW} FROM {table}_rows "
            f"WHERE {LANDING_DAY} = '{day}' AND {RULE} IS NOT NULL ORDER BY {FILE}, {LINE}"
        ).to_arrow_table()
        write_parquet(rows, self._folder / QUARANTINE / table / f"{day}.parquet")


def _tell_changes(settings: Settings, day: str, stamps: dict[str, str]) -> None:
    manifest = Manifest.read(settings, day)
    for name, change in (manifest.changes(stamps) if manifest else {}).items():
        if change == "new":
            log.info("late file", file=name)
        else:
            log.warning(f"file {change} since its rows were ingested; they are replaced", file=name)


def _rows_schema(table: str) -> pa.Schema:
    texts = [pa.field(name, pa.string()) for name in (LANDING_DAY, FILE, RULE, RAW)]
    numbers = [pa.field(FILE_ORDER, pa.int64()), pa.field(LINE, pa.int64())]
    return pa.schema([field.with_nullable(True) for field in SCHEMAS[table]] + texts + numbers)


def _clear_stages(settings: Settings, folder: Path) -> None:
    for old in settings.staging.glob("*"):
        if old == folder or (old / COMMITTED_FILE).exists():
            shutil.rmtree(old)
    folder.mkdir(parents=True)


def _commit_partition(lake: Lake, partition: Partition, folder: Path) -> None:
    rows = pq.read_table(partition.path(folder), schema=curated_schema(partition.table))
    if lake.partition_files(partition.table, partition.day) == partition.base_files:
        lake.write_day(partition.table, partition.day, rows)
        return
    staged = rows_checksum(connect().from_arrow(rows), partition.table)
    if lake.checksum(partition.table, partition.day) != staged:
        raise StaleStageError(
            f"{partition.table} {partition.day} was rewritten after it was staged; ingest these days again"
        )
