"""Import of any delimited or Parquet log by a column map (``features/sources/column_map.py``).

Every row of a file becomes a row of landing, whatever it holds: values that do not fit are passed on as they
are, lines that are no rows go, raw, into a file of their own, and ingest quarantines both with the reason.
Rows read = rows written is checked per file.

Watches land on the UTC day of their event; those without a usable time on the first day of their file.
Videos and users land on the day of the first watch, or on the map's ``snapshot_day``. The landing file of a
log is named after the content of the log: the same file replaces what it brought before, also under another
map, and a changed file never takes away rows that an earlier one brought.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from features.errors import BadInputError, InvalidDataError
from features.lake import connect
from features.schema import EVENT_TIME, TAG_IDS, WATCHES
from features.settings import Settings
from features.sources import columns_sql as sql
from features.sources.column_map import ID_KINDS, TABLES, ColumnMap, TableRules
from features.sources.delimited import NUMBER
from features.sources.id_map import IdMap
from features.sources.landing_writer import landing_folder, write_bytes, write_parquet
from features.sources.source_rows import REJECTED, SOURCE_ROWS, open_rows

log = structlog.get_logger(__name__)

ENDINGS: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.zst", ".tsv.zst", ".parquet")
"""Files of a folder that are read where the map names no patterns."""
COMPRESSIONS: Final = (".gz", ".bz2", ".zst")
BATCH_ROWS: Final = 200_000
MEMORY_LIMIT: Final = "2GB"
"""What DuckDB holds of a log; the rest is spilled to disk. A database file costs a third of the speed."""


@dataclass(frozen=True)
class ImportReport:
    """What one import read and wrote."""

    source: str
    files: dict[str, int] = field(default_factory=dict)
    """File, relative to what was imported -> rows, each of which lies in a landing file now."""
    days: dict[str, dict[str, int]] = field(default_factory=dict)
    """Table -> landing day -> rows."""
    rejected: dict[str, int] = field(default_factory=dict)
    """File -> lines that are no rows (wrong number of fields, not UTF-8); part of ``files``."""
    seconds: float = 0.0
    """Wall time."""


def import_columns(path: Path, rules: ColumnMap, settings: Settings) -> ImportReport:
    """Write the files of ``path`` (a file, or a folder) as landing files.

    Raises:
        BadInputError: a file or a column is missing, a file cannot be read, or no watch has a usable time.
        InvalidDataError: fewer or more rows were written than read.
    """
    started = time.perf_counter()
    files = {table: _table_files(path, rules, table) for table in TABLES if rules.rules(table)}
    settings.root.mkdir(parents=True, exist_ok=True)
    report = ImportReport(rules.source)
    with (
        tempfile.TemporaryDirectory(prefix=".import-", dir=settings.root) as spilled,
        connect() as connection,
    ):
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET temp_directory = $folder", {"folder": spilled})
        for table, paths in files.items():
            importer = _TableImport(connection, rules, table, settings, report)
            for file in paths:
                importer.run(file, path)
    return ImportReport(
        rules.source, report.files, report.days, report.rejected, time.perf_counter() - started
    )


def data_folder(folder: Path, *logs: str) -> Path:
    """``folder`` itself, or the ``data`` folder inside that some archives have.

    Raises:
        BadInputError: neither holds a file of the patterns ``logs``, packed or not.
    """
    patterns = [f"{pattern}{ending}" for pattern in logs for ending in ("", *COMPRESSIONS)]
    for candidate in (folder, folder / "data"):
        if any(path for pattern in patterns for path in candidate.glob(pattern)):
            return candidate
    raise BadInputError(f"{folder} holds no {' or '.join(logs)}; give the folder of the unpacked archive")


class _TableImport:
    """The files of one table."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        column_map: ColumnMap,
        table: str,
        settings: Settings,
        report: ImportReport,
    ) -> None:
        rules = column_map.rules(table)
        assert rules is not None
        self._sql, self._map, self._rules = connection, column_map, rules
        self._table, self._settings, self._report = table, settings, report

    def run(self, file: Path, root: Path) -> None:
        """Import one file and add it to the report."""
        folder = root if root.is_dir() else root.parent
        joins = [_one_file(folder, join.files) for join in self._rules.join]
        relative = file.relative_to(folder).as_posix()
        rows, num_read = open_rows(self._sql, file, self._rules, joins)
        if not num_read:
            log.warning("file has no rows", file=relative, table=self._table)
            self._report.files[relative] = 0
            return
        try:
            self._sql.execute(sql.landing_rows(self._table, self._rules, rows, relative))
        except duckdb.Error as error:  # what only DuckDB can judge, such as a strptime format
            raise BadInputError(f"{file} cannot be converted by this map: {error}") from error
        first_day = self._first_day(file)
        name = self._landing_name(file, relative)
        written = self._write(name, first_day)
        rejected = self._write_rejected(name, first_day)
        self._remove_stale(name, {*written, first_day}, rejected > 0)
        if rejected:
            written[first_day] = written.get(first_day, 0) + rejected
            self._report.rejected[relative] = rejected
        if sum(written.values()) != num_read:
            raise InvalidDataError(
                f"{file} has {num_read} rows, but {sum(written.values())} were written; do not ingest them"
            )
        self._report.files[relative] = num_read
        days = self._report.days.setdefault(self._table, {})
        for day, count in written.items():
            days[day] = days.get(day, 0) + count
        log.info("file imported", file=relative, table=self._table, rows=num_read, rejected=rejected)

    def _first_day(self, file: Path) -> str:
        """The landing day of rows without a time: of the file's first watch, or of the snapshot."""
        if self._table != WATCHES:
            if self._rules.snapshot_day is not None:
                return self._rules.snapshot_day.isoformat()
            if not self._report.days.get(WATCHES):
                raise BadInputError(
                    f"nothing says on which day the {self._table} of {file} arrived; "
                    f"add snapshot_day = 2026-01-31 to [{self._table}] of the map"
                )
            return min(self._report.days[WATCHES])
        [(first_day,)] = self._sql.execute(f"SELECT min({sql.DAY}) FROM {sql.LANDING_ROWS}").fetchall()
        if first_day is None:
            example = self._sql.execute(f"SELECT {EVENT_TIME} FROM {sql.LANDING_ROWS} LIMIT 1").fetchone()
            raise BadInputError(
                f"{file} has no row with a usable {EVENT_TIME} (the first is {example and example[0]!r}); "
                "check its unit or format in the map; times without offset need a timezone there"
            )
        return str(first_day)

    def _landing_name(self, file: Path, relative: str) -> str:
        stem = _without_endings(relative).replace("/", "-")
        if self._table != WATCHES:
            return f"{self._map.source}-{stem}"  # a snapshot is replaced by the next one of its day
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=4)).hexdigest()
        return f"{self._map.source}-{stem}-{digest}"

    def _write(self, name: str, first_day: str) -> dict[str, int]:
        """Write the landing files; returns their rows by day, counted in the files."""
        query = sql.select_by_day(self._table, self._number_ids())
        counts = self._sql.execute(
            f"SELECT coalesce({sql.DAY}, $first_day) AS day, count(*) FROM {sql.LANDING_ROWS} "
            "GROUP BY day ORDER BY day",
            {"first_day": first_day},
        ).fetchall()
        reader = self._sql.sql(query, params={"first_day": first_day}).to_arrow_reader(BATCH_ROWS)
        written = {}
        for day, rows in _cut(reader, counts):
            path = landing_folder(self._settings, self._table, day) / f"{name}.parquet"
            _write_changed(path, rows.drop_columns([sql.DAY]))
            written[day] = pq.read_metadata(path).num_rows
        return written

    def _number_ids(self) -> dict[str, str]:
        """Number the text ids of the rows; returns id column -> table of texts and ids."""
        ids, tables = IdMap(self._settings, self._map.source), {}
        for name in sql.numbered_columns(self._table, self._map):
            texts = self._sql.sql(sql.distinct_ids(name)).to_arrow_table()["text"]
            self._sql.register("numbered", ids.number(ID_KINDS[name], texts))
            self._sql.execute(f"CREATE OR REPLACE TABLE {name}_numbers AS FROM numbered")
            tables[name] = f"{name}_numbers"
        if TAG_IDS in tables:
            self._sql.execute(sql.create_numbered_tags(tables[TAG_IDS]))
        return tables

    def _write_rejected(self, name: str, day: str) -> int:
        """Write the lines that are no rows as they are; returns how many."""
        lines = self._sql.execute(
            f"SELECT {REJECTED} FROM {SOURCE_ROWS} WHERE {REJECTED} IS NOT NULL ORDER BY {NUMBER}"
        ).fetchall()
        if not lines:
            return 0
        path = landing_folder(self._settings, self._table, day) / f"{name}-rejected.jsonl"
        write_bytes(path, b"".join(line + b"\n" for (line,) in lines))
        return path.read_bytes().count(b"\n")

    def _remove_stale(self, name: str, days: set[str], has_rejected: bool) -> None:
        """Remove what the same file brought under another map: other days, lines that are rows now."""
        folder = self._settings.landing / self._table
        if self._table == WATCHES:
            stale = {
                path for path in folder.glob(f"*/{escape(name)}.parquet") if path.parent.name not in days
            }
            stale |= set(folder.glob(f"*/{escape(name)}-rejected.jsonl"))
        else:
            stale = {folder / day / f"{name}-rejected.jsonl" for day in days}
        if has_rejected:
            stale.discard(folder / min(days) / f"{name}-rejected.jsonl")
        for path in stale:
            path.unlink(missing_ok=True)


def _write_changed(path: Path, rows: pa.Table) -> None:
    """Leave a file alone that holds these rows already: a touched file looks like news to ingest."""
    if not path.exists() or not pq.read_table(path).equals(rows):
        write_parquet(path, rows)


def _cut(reader: pa.RecordBatchReader, counts: Sequence[tuple[str, int]]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each day in turn, from batches that are sorted by day; one day is in memory at a time."""
    rest = reader.schema.empty_table()
    for day, count in counts:
        pieces = [rest]
        while sum(map(len, pieces)) < count:
            pieces.append(pa.Table.from_batches([reader.read_next_batch()]))
        rows = pa.concat_tables(pieces)
        yield day, rows.slice(0, count)
        rest = rows.slice(count)


def _table_files(path: Path, column_map: ColumnMap, table: str) -> list[Path]:
    """The files of one table. A single file must be that of the only table, or fit the table's pattern."""
    rules = column_map.rules(table)
    assert rules is not None
    if path.is_file():
        tables = [other for other in TABLES if column_map.rules(other)]
        if len(tables) == 1 or _fits(path, rules):
            return [path]
        raise BadInputError(
            f"the map also has [{table}], and {path} is one file; give the folder of all files"
        )
    if not path.is_dir():
        raise BadInputError(f"{path} is neither a file nor a folder")
    return _find(path, rules.files)


def _fits(path: Path, rules: TableRules) -> bool:
    return any(path.match(pattern) for pattern in rules.files or ())


def _find(folder: Path, patterns: Sequence[str] | None) -> list[Path]:
    """Files that fit a pattern, packed or not, in the order of their names."""
    if patterns is None:
        found = {path for path in folder.iterdir() if path.name.endswith(ENDINGS)}
    else:
        names = [f"{pattern}{ending}" for pattern in patterns for ending in ("", *COMPRESSIONS)]
        found = {path for name in names for path in folder.glob(name)}
    files = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not files:
        wanted = ", ".join(patterns or [f"*{ending}" for ending in ENDINGS])
        raise BadInputError(f"{folder} holds no {wanted}")
    stems = [_without_endings(str(path)) for path in files]
    twice = [str(path) for path, stem in zip(files, stems, strict=True) if stems.count(stem) > 1]
    if twice:
        raise BadInputError(f"{' and '.join(twice)} look like one file; remove all but one of them")
    return files


def _one_file(folder: Path, patterns: Sequence[str]) -> Path:
    files = _find(folder, patterns)
    if len(files) > 1:
        raise BadInputError(f"a join needs one file, {folder} has {', '.join(path.name for path in files)}")
    return files[0]


def _without_endings(name: str) -> str:
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return name.rpartition(".")[0] or name
