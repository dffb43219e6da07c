"""The curated tables: Delta Lake, one partition per UTC day, replaced as a whole or not at all.

The only module that knows Delta. DuckDB reads the current files by name, never by globbing the
folder: that would also find the files of older versions.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from features.errors import BadInputError, RetryLaterError
from features.schema import (
    EVENT_DAY,
    EVENT_ID,
    EVENT_TIME,
    EXPOSURES,
    LANDING_DAY,
    REQUEST_ID,
    SCHEMAS,
    SNAPSHOT_DAY,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEOS,
    WATCHES,
)
from features.settings import Settings

PARTITION: Final[dict[str, str]] = {
    WATCHES: EVENT_DAY,
    EXPOSURES: EVENT_DAY,
    VIDEOS: SNAPSHOT_DAY,
    USERS: SNAPSHOT_DAY,
}
ORDER: Final[dict[str, tuple[str, ...]]] = {
    WATCHES: (USER_ID, EVENT_TIME, EVENT_ID),
    EXPOSURES: (REQUEST_ID, VIDEO_ID),
    VIDEOS: (VIDEO_ID,),
    USERS: (USER_ID,),
}
"""Rows of a partition are sorted by these columns; they identify a row."""
CONFIGURATION: Final = {"delta.logRetentionDuration": "interval 3650 days"}
"""The log of a version stays readable as long as ``clean`` keeps its data files."""


def curated_schema(table: str) -> pa.Schema:
    """Columns of a curated table: those of landing, the landing day, the partition."""
    return (
        SCHEMAS[table]
        .append(pa.field(LANDING_DAY, pa.string()))
        .append(pa.field(PARTITION[table], pa.string()))
    )


def connect(database: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB that speaks UTC; in memory unless a file is named."""
    return _speaking_utc(duckdb.connect(str(database or ":memory:")))


def cursor(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Another session of the same DuckDB, for another thread; its temporary tables and views are its own."""
    return _speaking_utc(connection.cursor())


class Lake:
    """The curated tables below ``settings.lake``.

    Args:
        versions: of each table, as a bundle's manifest names them: reads are as of then, other tables do not
            exist, and nothing can be written. The newest ones if ``None``.
    """

    def __init__(self, settings: Settings, versions: Mapping[str, int] | None = None) -> None:
        self._root = settings.lake
        self._versions = versions

    def write_day(self, table: str, day: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        """Replace the partition of one day in one commit; readers see the old rows or the new ones.

        A day that does not fit in memory comes as a reader of the table's schema, whose rows are validated.

        Raises:
            BadInputError: ``rows`` hold another day, or this is the lake of an earlier moment.
            RetryLaterError: somebody else replaced the same day meanwhile.
        """
        if self._versions is not None:
            raise BadInputError(f"{table} {day} cannot be written to the lake of an earlier moment")
        column = PARTITION[table]
        if isinstance(rows, pa.Table):
            others = sorted(set(rows[column].unique().to_pylist()) - {day})
            if others:
                raise BadInputError(f"rows of {others} cannot go into the {table} partition {day}")
            rows = rows.cast(curated_schema(table))
        try:
            write_deltalake(
                self._path(table),
                rows,
                mode="overwrite",
                predicate=f"{column} = '{day}'" if self.has(table) else None,
                partition_by=[column],
                configuration=None if self.has(table) else CONFIGURATION,
            )
        except CommitFailedError as error:
            raise RetryLaterError(f"{table} {day} was rewritten by another process; run again") from error

    def has(self, table: str) -> bool:
        """Whether anything was ever written to ``table``."""
        if self._versions is not None and table not in self._versions:
            return False
        return DeltaTable.is_deltatable(self._path(table))

    def snapshot(self, table: str) -> int:
        """Version of ``table`` now; pass it to ``scan`` to read the same rows later."""
        return self._open(table, None).version()

    def partition_files(self, table: str, day: str) -> list[str]:
        """The data files of one day now, sorted; they differ if and only if the day was rewritten."""
        if not self.has(table):
            return []
        return sorted(self._open(table, None).file_uris(file_pruning_predicate=_any_of(table, [day])))

    def days_landed_on(self, table: str, landing_days: Sequence[str]) -> set[str]:
        """Partitions that may hold rows of these landing days, by the file statistics alone."""
        if not self.has(table) or not landing_days:
            return set()
        actions = pa.table(self._open(table, None).get_add_actions(flatten=True))
        days = actions[f"partition.{PARTITION[table]}"].to_pylist()
        lowest, highest = (actions[f"{end}.{LANDING_DAY}"].to_pylist() for end in ("min", "max"))
        return {
            str(day)
            for day, low, high in zip(days, lowest, highest, strict=True)
            if any(low <= landing_day <= high for landing_day in landing_days)
        }

    def day_counts(self, table: str) -> dict[str, int]:
        """Rows per day, from the table's log: no data file is opened."""
        if not self.has(table):
            return {}
        actions = pa.table(self._open(table, None).get_add_actions(flatten=True))
        counts: dict[str, int] = {}
        days = actions[f"partition.{PARTITION[table]}"].to_pylist()
        for day, rows in zip(days, actions["num_records"].to_pylist(), strict=True):
            counts[str(day)] = counts.get(str(day), 0) + rows
        return dict(sorted(counts.items()))

    def scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        days: Iterable[str] | None = None,
        *,
        version: int | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """A lazy relation over ``days`` (all days if ``None``), in no particular order.

        Raises:
            BadInputError: all days are asked for and nothing was ever written to ``table``, or the files of
                the version were deleted.
        """
        wanted = None if days is None else sorted(days)
        if wanted is None:
            files = self._open(table, version).file_uris()
        elif wanted and self.has(table):
            files = self._open(table, version).file_uris(file_pruning_predicate=_any_of(table, wanted))
        else:
            files = []
        if not files:
            return connection.from_arrow(curated_schema(table).empty_table())
        if (version is not None or self._versions is not None) and not all(map(os.path.exists, files)):
            raise BadInputError(
                f"{table}: the files of that version were deleted; only newer ones can be read"
            )
        types = f"hive_types = {{{PARTITION[table]}: VARCHAR}}"
        name = f"{table}_files"  # two relations can only be joined if their parameters differ
        query = f"SELECT * FROM read_parquet(${name}, hive_partitioning = true, {types})"
        return connection.sql(query, params={name: files})

    def read_days(
        self, table: str, days: Iterable[str] | None = None, *, version: int | None = None
    ) -> pa.Table:
        """The rows of ``days`` in the order of the table."""
        connection = connect()
        rows = self.scan(connection, table, days, version=version).order(", ".join(ORDER[table]))
        columns = ", ".join(curated_schema(table).names)
        return rows.project(columns).to_arrow_table().cast(curated_schema(table))

    def newest_day(self, table: str, until: str) -> str | None:
        """The newest day of ``table`` that is not after ``until``, or ``None``."""
        return max((day for day in self.day_counts(table) if day <= until), default=None)

    def latest_day(self, table: str, until: str) -> str:
        """As ``newest_day``, where there has to be one.

        Raises:
            BadInputError: there is none.
        """
        day = self.newest_day(table, until)
        if day is None:
            raise BadInputError(f"{table} holds no day up to {until}; ingest one first")
        return day

    def checksum(self, table: str, day: str) -> str:
        """MD5 over the sorted rows of one day, all columns; equal content gives equal sums anywhere."""
        connection = connect()
        return rows_checksum(self.scan(connection, table, [day]), table)

    def clean(self, table: str, keep_days: int, keep_versions: Iterable[int] = ()) -> list[str]:
        """Delete the data files that no kept version needs, and return their names.

        Kept are the newest version, all of the last ``keep_days`` days, and ``keep_versions``.
        """
        if not self.has(table):
            return []
        delta = self._open(table, None)
        existing = {entry["version"] for entry in delta.history()}
        kept = sorted(set(keep_versions) & existing)
        return delta.vacuum(
            retention_hours=24 * keep_days,
            dry_run=False,
            enforce_retention_duration=False,  # it asks for a week at least
            keep_versions=kept or None,
        )

    def is_readable(self, table: str, version: int) -> bool:
        """Whether all data files of a version are still there."""
        try:
            return all(map(os.path.exists, self._open(table, version).file_uris()))
        except BadInputError:
            return False

    def checkpoint(self, table: str) -> None:
        """Sum up the log in one file; earlier sums are removed, every version stays in the log itself."""
        self._open(table, None).create_checkpoint()
        sums = sorted((self._root / table / "_delta_log").glob("*.checkpoint*.parquet"))
        for path in sums:
            if path.name.partition(".")[0] != sums[-1].name.partition(".")[0]:
                path.unlink()

    def _open(self, table: str, version: int | None) -> DeltaTable:
        if version is None and self._versions is not None:
            version = self._versions.get(table)
        try:
            return DeltaTable(self._path(table), version=version)
        except (TableNotFoundError, DeltaError) as error:
            if version is not None:
                raise BadInputError(f"{table} has no version {version} any more: {error}") from error
            raise BadInputError(f"no {table} in the lake yet; run `facet ingest` first") from error

    def _path(self, table: str) -> str:
        return str(self._root / table)


def rows_checksum(rows: duckdb.DuckDBPyRelation, table: str) -> str:
    """MD5 over sorted ``rows`` of ``table``, all columns; of the empty string if there are none."""
    names = curated_schema(table).names
    text = f"md5(CAST(struct_pack({', '.join(names)}) AS VARCHAR))"
    found = rows.aggregate(
        f"md5(coalesce(string_agg({text}, '' ORDER BY {', '.join(ORDER[table])}), ''))"
    ).fetchall()
    return str(found[0][0])


def _speaking_utc(session: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    session.execute(
        "SET TimeZone = 'UTC'; SET enable_progress_bar = false"
    )  # bars would fill the logs of tasks
    return session


def _any_of(table: str, days: Sequence[str]) -> str:
    quoted = ", ".join(f"'{day}'" for day in days)
    return f"{PARTITION[table]} IN ({quoted})"
