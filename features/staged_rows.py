"""The rows of one stage: landing files typed side by side, partitions deduplicated and sorted.

DuckDB spills what does not fit in ``MEMORY``, so that a range of days need not.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import duckdb
import pyarrow as pa

from features.days import end_of
from features.errors import BadInputError
from features.exposures import exposure_days, filled_sql, watch_days
from features.lake import ORDER, PARTITION, Lake, connect, cursor
from features.landing import TABLES, Landing, LandingFile
from features.replays import drop_replaced, is_replay
from features.rules import judged_sql
from features.schema import (
    CHANNEL,
    EVENT_DAY,
    EVENT_TIME,
    EXPOSURES,
    FILE,
    INTEREST,
    KEYS,
    LANDING_DAY,
    LINE,
    RAW,
    REQUEST_ID,
    RULE,
    SCHEMAS,
    VIDEO_ID,
    WATCHES,
)
from features.side_by_side import side_by_side
from features.sql import literal, parquet_rows
from features.stage import QUARANTINE, Counts, Partition, write_parquet
from features.text_rows import text_rows

MEMORY: Final = "2GB"
"""What DuckDB may hold before it spills; the pieces of files that are being read come on top."""
FILE_ORDER: Final = "file_order"
ROW_DAY: Final = "row_day"
"""Day of the partition that a row belongs to."""
_LAKE: Final = -1
"""``FILE_ORDER`` of the rows that the lake holds already."""
_EVENT_DAY: Final = f"(DATE '1970-01-01' + (epoch_us({EVENT_TIME}) // 86400000000)::INTEGER)"


class StagedRows:
    """``<table>_rows`` of one call of ``stage``, and what became of them (``<table>_outcomes``).

    Args:
        folder: of the stage; partitions and quarantine are written there.
    """

    def __init__(self, lake: Lake, landing: Landing, folder: Path) -> None:
        self._lake = lake
        self._landing = landing
        self._folder = folder
        self._spilled = folder / "spilled"
        self._sql = connect()  # a database file would be compressed, which costs more than all the rest
        self._sql.execute(f"SET memory_limit = '{MEMORY}'")
        self._sql.execute(f"SET temp_directory = {literal(str(self._spilled))}")
        self._landed: dict[str, list[str]] = {table: [] for table in TABLES}
        for table in TABLES:
            self._sql.register("no_rows", _schema(table).empty_table())
            self._sql.execute(f"CREATE TABLE {table}_rows AS FROM no_rows")
            self._sql.execute(
                f"CREATE TABLE {table}_outcomes ({LANDING_DAY} VARCHAR, is_kept BOOLEAN, rows BIGINT)"
            )

    def __enter__(self) -> "StagedRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sql.close()
        shutil.rmtree(self._spilled, ignore_errors=True)

    def read(self, days: Sequence[str]) -> None:
        """Type the landing files of ``days``.

        Raises:
            BadInputError: a day has no watches, or a file cannot be read at all.
        """
        found = {(table, day): self._landing.files(table, day) for table in TABLES for day in days}
        for (table, day), files in found.items():
            if table == WATCHES and not files:
                folder = self._landing.folder(table, day)
                raise BadInputError(f"{folder} holds no files; land the watches of {day} there first")
            if files:
                self._landed[table].append(day)
        side_by_side(
            self._append_typed,
            [(*key, order, file) for key, files in found.items() for order, file in enumerate(files)],
        )
        for (table, day), files in found.items():
            if any(is_replay(file.name) for file in files):
                drop_replaced(self._sql, table, day)

    def build_partitions(self) -> list[Partition]:
        """Write every partition that the rows lead to, whole: with the lake's rows of other landing days."""
        exposures = [(EXPOSURES, day) for day in self._touched(EXPOSURES)]
        others = [(table, day) for table in TABLES if table != EXPOSURES for day in self._touched(table)]
        built = side_by_side(self._build_partition, exposures)  # first: watches are filled from them
        return built + side_by_side(self._build_partition, others)

    def count(self) -> list[Counts]:
        """Where the rows of each landing day went; the numbers come from different queries on purpose."""
        return [self._count(table, day) for table in TABLES for day in self._landed[table]]

    def write_quarantine(self) -> None:
        """The refused rows per landing day; an empty file if there are none, to replace an older one."""
        for table in TABLES:
            for day in self._landed[table]:
                rows = self._sql.sql(
                    f"SELECT {FILE}, {LINE}, {RULE}, {RAW} FROM {table}_rows "
                    f"WHERE {LANDING_DAY} = '{day}' AND {RULE} IS NOT NULL ORDER BY {FILE}, {LINE}"
                ).to_arrow_table()
                write_parquet(rows, self._folder / QUARANTINE / table / f"{day}.parquet")

    def _append_typed(self, table: str, day: str, order: int, file: LandingFile) -> None:
        sql = cursor(self._sql)
        told = "true" if is_replay(file.name) else f"{RULE} IS NOT NULL"  # nobody asks where good rows were
        row_day = _EVENT_DAY if PARTITION[table] == EVENT_DAY else f"DATE '{day}'"
        try:
            sql.register("text_rows", text_rows(sql, table, self._landing.fetch(file)))
            sql.execute(f"""
                INSERT INTO {table}_rows BY NAME
                SELECT * REPLACE (CASE WHEN {told} THEN {FILE} END AS {FILE},
                                  CASE WHEN {RULE} IS NOT NULL THEN {RAW} END AS {RAW}),
                       '{day}' AS {LANDING_DAY}, {order} AS {FILE_ORDER}, {row_day} AS {ROW_DAY}
                FROM ({judged_sql(table, end_of(day), "text_rows")})
            """)
        except (duckdb.InvalidInputException, duckdb.IOException) as error:
            reason = str(error).partition(" Detail: ")[0]
            raise BadInputError(f"{file.path}: {reason}") from error

    def _touched(self, table: str) -> list[str]:
        """Partitions that the rows go to, or that hold rows of an earlier ingest of the same days."""
        found = self._sql.execute(
            f"SELECT DISTINCT {ROW_DAY} FROM {table}_rows WHERE {RULE} IS NULL"
        ).fetchall()
        days = {str(day) for (day,) in found} | self._lake.days_landed_on(table, self._landed[table])
        if table == WATCHES:
            shown = {day for exposed in self._touched(EXPOSURES) for day in watch_days(exposed)}
            days |= shown & self._lake.day_counts(WATCHES).keys()
        return sorted(days)

    def _build_partition(self, table: str, day: str) -> Partition:
        sql = cursor(self._sql)
        base_files = self._lake.partition_files(table, day)
        candidates = self._candidates(sql, table, day)
        key, earliest = KEYS[table], f"{LANDING_DAY}, {FILE_ORDER}, {LINE}"
        sql.execute(f"""
            CREATE TEMP TABLE repeated AS SELECT {key} FROM ({candidates}) GROUP BY ALL HAVING count(*) > 1;
            CREATE TEMP TABLE ranked AS
            SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {earliest}) AS place
            FROM ({candidates}) SEMI JOIN repeated USING ({key});
        """)
        best = f"({candidates})"
        if sql.execute("FROM repeated LIMIT 1").fetchall():  # few keys are: only their rows are compared
            best = f"""
                (FROM {best} ANTI JOIN repeated USING ({key})
                 UNION ALL SELECT * EXCLUDE (place) FROM ranked WHERE place = 1)
            """
        partition = Partition(table=table, day=day, rows=0, base_files=base_files)
        kept = best
        if table == WATCHES:
            partition, kept = self._filled(sql, best, partition)
        path = partition.path(self._folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join((*SCHEMAS[table].names, LANDING_DAY, f"'{day}' AS {PARTITION[table]}"))
        [(rows,)] = sql.execute(
            f"COPY (SELECT {columns} FROM {kept} ORDER BY {', '.join(ORDER[table])}) TO {literal(str(path))}"
        ).fetchall()
        sql.execute(f"""
            INSERT INTO {table}_outcomes
            SELECT {LANDING_DAY}, true, count(*) FROM {best} WHERE {FILE_ORDER} <> {_LAKE} GROUP BY ALL
            UNION ALL
            SELECT {LANDING_DAY}, false, count(*) FROM ranked
            WHERE place > 1 AND {FILE_ORDER} <> {_LAKE} GROUP BY ALL
        """)
        return partition.model_copy(update={"rows": rows})

    def _candidates(self, sql: duckdb.DuckDBPyConnection, table: str, day: str) -> str:
        """Query of the rows that one partition is made of, with what decides between equal keys."""
        columns = ", ".join((*SCHEMAS[table].names, LANDING_DAY))
        old = self._lake.scan(sql, table, [day])
        landed = ", ".join(literal(landing_day) for landing_day in self._landed[table])
        old = old.filter(f"{LANDING_DAY} NOT IN ({landed})") if landed else old
        sql.register("old_rows", old.project(f"{columns}, {_LAKE} AS {FILE_ORDER}, 0 AS {LINE}"))
        return f"""
            FROM old_rows UNION ALL
            SELECT {columns}, {FILE_ORDER}, {LINE} FROM {table}_rows
            WHERE {RULE} IS NULL AND {ROW_DAY} = DATE '{day}'
        """

    def _filled(
        self, sql: duckdb.DuckDBPyConnection, watches: str, partition: Partition
    ) -> tuple[Partition, str]:
        """``watches`` with what exposures say of them, staged ones or the lake's, whose files are noted."""
        columns = ", ".join((REQUEST_ID, VIDEO_ID, CHANNEL, INTEREST, EVENT_TIME))
        places = {day: self._folder / EXPOSURES / f"{day}.parquet" for day in exposure_days(partition.day)}
        staged = [path for path in places.values() if path.exists()]
        rest = [day for day, path in places.items() if not path.exists()]
        files = {day: self._lake.partition_files(EXPOSURES, day) for day in rest}
        noted = partition.model_copy(update={"exposure_files": files})
        if not staged and not self._lake.has(EXPOSURES):
            return noted, watches
        sql.register("lake_exposures", self._lake.scan(sql, EXPOSURES, rest).project(columns))
        parts = ["FROM lake_exposures", *(f"SELECT {columns} FROM {parquet_rows(path)}" for path in staged)]
        exposures = " UNION ALL ".join(parts)
        return noted, f"({filled_sql(watches, f'({exposures})')})"

    def _count(self, table: str, day: str) -> Counts:
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


def _schema(table: str) -> pa.Schema:
    texts = [pa.field(name, pa.string()) for name in (LANDING_DAY, FILE, RULE, RAW)]
    numbers = [pa.field(FILE_ORDER, pa.int64()), pa.field(LINE, pa.int64()), pa.field(ROW_DAY, pa.date32())]
    return pa.schema([field.with_nullable(True) for field in SCHEMAS[table]] + texts + numbers)
