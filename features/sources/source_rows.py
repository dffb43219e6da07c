"""One file of somebody's log as a DuckDB table of text: its columns by number, lines that are no rows beside.

The table ``source_rows`` has ``number`` (place in the file), ``rejected`` (the bytes of a line that does not
have as many fields as the header, or is not UTF-8; null for rows) and one text column per source column that
is asked for. Empty values and those that the map calls unknown are null; other values are as in the file.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from features.errors import BadInputError
from features.sources.column_map import TableRules
from features.sources.delimited import (
    LINES,
    NUMBER,
    RAW,
    Layout,
    fields_sql,
    line_batches,
    read_header,
)
from features.sql import identifier, literal

log = structlog.get_logger(__name__)

SOURCE_ROWS: Final = "source_rows"
REJECTED: Final = "rejected"


class SourceRows:
    """The rows of one file; ``column`` gives the SQL name of a source column."""

    def __init__(self, path: Path, names: Sequence[str], joined: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.path = path
        self._sql_names: dict[str, str] = {}
        for prefix, found in [("s", names), *((f"{file}_", others) for file, others in joined)]:
            for i, name in enumerate(found):
                self._sql_names.setdefault(name, f"{prefix}{i}")
        self.names = list(self._sql_names)

    def column(self, name: str, wanted_for: str) -> str:
        """SQL name of the source column ``name``.

        Raises:
            BadInputError: the file has no such column; the text names those that it has.
        """
        if name not in self._sql_names:
            raise BadInputError(
                f"{self.path} has no column {name!r}, which the map wants for {wanted_for}; "
                f"it has {', '.join(self.names)}"
            )
        return self._sql_names[name]

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """Source columns that match one of the patterns, in the order of the file."""
        return [name for name in self.names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def open_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, rules: TableRules, joins: Sequence[Path]
) -> tuple[SourceRows, int]:
    """Load ``path`` and the files that its rows are joined with; returns the columns and the number of rows.

    Args:
        joins: the file of each of ``rules.join``.

    Raises:
        BadInputError: a file cannot be read, or a join key is missing.
    """
    names, num_rows = _load_safely(connection, SOURCE_ROWS, "s", path, rules)
    joined = []
    for i, file in enumerate(joins):
        others, _ = _load_safely(
            connection, f"joined_{i}", f"j{i}", file, rules.model_copy(update={"header": None})
        )
        _add_join(connection, i, rules, (path, names), (file, others))
        joined.append((f"j{i}", others))
    return SourceRows(path, names, joined), num_rows


def _load_safely(
    connection: duckdb.DuckDBPyConnection, table: str, prefix: str, path: Path, rules: TableRules
) -> tuple[list[str], int]:
    try:
        return _load(connection, table, prefix, path, rules)
    except duckdb.Error as error:  # DuckDB also wraps what a reader of lines raises
        reason = str(error).partition(" Detail: ")[0]
        raise BadInputError(f"{path} cannot be read: {reason}") from error


def _load(
    connection: duckdb.DuckDBPyConnection, table: str, prefix: str, path: Path, rules: TableRules
) -> tuple[list[str], int]:
    """Create ``table``; returns the names of its columns and how many rows the file holds."""
    if path.suffix == ".parquet":
        return _load_parquet(connection, table, prefix, path, rules)
    layout = Layout(rules.delimiter, rules.has_quotes, rules.encoding, rules.header)
    names = read_header(path, layout)
    counted = _CountedLines(path, layout)
    connection.register("lines", counted.reader())
    columns = "".join(f", {_known(f'fields[{i + 1}]', rules)} AS {prefix}{i}" for i in _used(names, rules))
    connection.execute(f"""
        CREATE OR REPLACE TABLE {table} AS
        SELECT {NUMBER}, {REJECTED}{columns}
        FROM (SELECT *, CASE WHEN text IS NULL OR len(found) <> {len(names)} THEN {RAW} END AS {REJECTED},
                     CASE WHEN {REJECTED} IS NULL THEN found END AS fields
              FROM (SELECT *, {fields_sql(rules.delimiter)} AS found
                    FROM (SELECT *, TRY(decode({RAW})) AS text FROM lines)))
    """)
    connection.unregister("lines")
    return names, counted.rows


class _CountedLines:
    """The lines of a file, counted where they are read: the other side of read = written."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.rows = 0
        self._batches = line_batches(path, layout)

    def reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(LINES, self._count())

    def _count(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.rows += batch.num_rows
            yield batch


def _load_parquet(
    connection: duckdb.DuckDBPyConnection, table: str, prefix: str, path: Path, rules: TableRules
) -> tuple[list[str], int]:
    try:
        schema, num_rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path} cannot be read as Parquet: {error}") from error
    columns = ""
    for i in _used(schema.names, rules):
        field = schema.field(i)
        name = identifier(field.name)
        nested = pa.types.is_nested(field.type)
        text = f"CAST(to_json({name}) AS VARCHAR)" if nested else f"CAST({name} AS VARCHAR)"
        columns += f", {_known(text, rules)} AS {prefix}{i}"
    connection.execute(f"""
        CREATE OR REPLACE TABLE {table} AS
        SELECT file_row_number + 1 AS {NUMBER}, NULL::BLOB AS {REJECTED}{columns}
        FROM read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)
    """)
    return schema.names, num_rows


def _used(names: Sequence[str], rules: TableRules) -> list[int]:
    """Positions of the columns that the map speaks of; a wide log costs no more than a narrow one."""
    exact = {name for column in rules.columns.values() for name in (column.column, column.times)}
    exact |= {name for join in rules.join for name in (join.on, join.newest)}
    patterns = [pattern for column in rules.columns.values() for pattern in column.tokens or ()]
    return [
        i
        for i, name in enumerate(names)
        if name in exact or any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _known(text: str, rules: TableRules) -> str:
    """The trimmed value, null if it is empty or one of those that mean unknown."""
    known = f"nullif(trim({text}), '')"
    for value in rules.unknown:
        known = f"nullif({known}, {literal(value)})"
    return known


def _add_join(
    connection: duckdb.DuckDBPyConnection,
    number: int,
    rules: TableRules,
    base: tuple[Path, list[str]],
    other: tuple[Path, list[str]],
) -> None:
    """Replace ``source_rows`` by its left join with ``joined_<number>``, one row of which is kept per key."""
    join = rules.join[number]
    for path, names, wanted in ((*base, join.on), (*other, join.on), (*other, join.newest or join.on)):
        if wanted not in names:
            raise BadInputError(f"{path} has no column {wanted!r} to join by; it has {', '.join(names)}")
    [(rejected,)] = connection.execute(
        f"SELECT count(*) FROM joined_{number} WHERE {REJECTED} IS NOT NULL"
    ).fetchall()
    if rejected:
        log.warning("lines of a joined file ignored", file=str(other[0]), lines=rejected)
    prefix, key = f"j{number}", f"j{number}{other[1].index(join.on)}"
    newest = f"{prefix}{other[1].index(join.newest)} DESC NULLS LAST, " if join.newest else ""
    columns = ", ".join(f"j.{prefix}{i} AS {prefix}_{i}" for i in _used(other[1], rules))
    connection.execute(f"""
        CREATE OR REPLACE TABLE {SOURCE_ROWS} AS
        SELECT s.*, {columns} FROM {SOURCE_ROWS} s LEFT JOIN (
            SELECT * FROM joined_{number} WHERE {REJECTED} IS NULL
            QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {newest}{NUMBER}) = 1
        ) j ON s.s{base[1].index(join.on)} = j.{key}
    """)
    connection.execute(f"DROP TABLE joined_{number}")
