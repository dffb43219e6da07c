"""Landing files as rows of text: JSONL, CSV and Parquet, plain or gzip, with each row's place and text.

Every column comes out as text; ``features/rules.py`` types it. So a bad value is one bad row, never a
file that cannot be read. CSV fields may be quoted but not span lines. Blank lines are no rows.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import BadInputError
from features.schema import FILE, LINE, RAW, SCHEMAS
from features.settings import Settings

PROBLEM: Final = "problem"
"""Why a row has no columns at all; null for rows that could be taken apart."""
FORMATS: Final = (".jsonl", ".csv", ".parquet")
CHUNK_BYTES: Final = 32 << 20
_LINES: Final = pa.schema([(LINE, pa.int64()), (RAW, pa.binary()), ("cells", pa.list_(pa.string()))])


def landing_files(settings: Settings, table: str, day: str) -> list[Path]:
    """Files of one landing folder in the order of their names; hidden files are still being written.

    Raises:
        BadInputError: a file has an ending that no reader knows.
    """
    folder = settings.landing / table / day
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    for path in files:
        if file_format(path) not in FORMATS:
            raise BadInputError(
                f"{path} is none of {', '.join(FORMATS)} (or one of them with .gz); remove it"
            )
    return files


def file_format(path: Path) -> str:
    """The ending that names the format: ``.jsonl`` for ``a.jsonl.gz``."""
    return Path(path.name.removesuffix(".gz")).suffix


def text_rows(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, settings: Settings
) -> duckdb.DuckDBPyRelation:
    """``file, line, raw, problem`` and every landing column of ``table`` as text (null where absent).

    Args:
        connection: a view ``lines`` is registered in it; consume the result before the next call.

    Raises:
        BadInputError: the file cannot be read, or its header lacks a required column.
    """
    name = str(path.relative_to(settings.landing))
    if file_format(path) == ".parquet":
        query = _parquet_query(table, path)
    elif file_format(path) == ".csv":
        header = _csv_header(path)
        _require_columns(table, header, path)
        connection.register("lines", pa.RecordBatchReader.from_batches(_LINES, _line_batches(path, skip=1)))
        query = _csv_query(table, header)
    else:
        connection.register("lines", pa.RecordBatchReader.from_batches(_LINES, _line_batches(path)))
        query = _jsonl_query(table)
    return connection.sql(f"SELECT $name AS {FILE}, * FROM ({query})", params={"name": name})


def _jsonl_query(table: str) -> str:
    names = SCHEMAS[table].names
    paths = ", ".join(f"'$.{name}'" for name in names)
    columns = ", ".join(f"fields[{i}] AS {name}" for i, name in enumerate(names, start=1))
    return f"""
        SELECT {LINE}, coalesce(text, {RAW}::VARCHAR) AS {RAW}, {PROBLEM}, {columns}
        FROM (SELECT *, CASE WHEN {PROBLEM} IS NULL THEN json_extract_string(text, [{paths}]) END AS fields
              FROM (SELECT *, CASE WHEN text IS NULL THEN 'not UTF-8'
                                   WHEN NOT json_valid(text) THEN 'not JSON'
                                   WHEN json_type(text) <> 'OBJECT' THEN 'not a JSON object' END AS {PROBLEM}
                    FROM (SELECT *, TRY(decode({RAW})) AS text FROM lines)))
    """


def _csv_query(table: str, header: list[str]) -> str:
    width = len(header)
    columns = ", ".join(
        f"nullif(fields[{header.index(name) + 1}], '') AS {name}"
        if name in header
        else f"NULL::VARCHAR AS {name}"
        for name in SCHEMAS[table].names
    )
    return f"""
        SELECT {LINE}, coalesce(text, {RAW}::VARCHAR) AS {RAW}, {PROBLEM}, {columns}
        FROM (SELECT * REPLACE (CASE WHEN {PROBLEM} IS NULL THEN fields END AS fields)
              FROM (SELECT *, CASE WHEN text IS NULL THEN 'not UTF-8'
                                   WHEN len(fields) = 0 THEN 'quotes are not balanced'
                                   WHEN len(fields) <> {width} THEN 'not {width} columns' END AS {PROBLEM}
                    FROM (SELECT *, coalesce(cells, string_split(text, ',')) AS fields
                          FROM (SELECT *, TRY(decode({RAW})) AS text FROM lines))))
    """


def _parquet_query(table: str, path: Path) -> str:
    try:
        present = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path} is not a Parquet file: {error}; replace or remove it") from error
    _require_columns(table, present.names, path)
    columns = ", ".join(_as_text(name, present) for name in SCHEMAS[table].names)
    row = ", ".join(f"'{name}': \"{name}\"" for name in present.names)
    quoted = str(path).replace("'", "''")
    return f"""
        SELECT file_row_number + 1 AS {LINE}, to_json({{{row}}})::VARCHAR AS {RAW},
               NULL::VARCHAR AS {PROBLEM}, {columns}
        FROM read_parquet('{quoted}', file_row_number = true, hive_partitioning = false)
    """


def _as_text(name: str, present: pa.Schema) -> str:
    if name not in present.names:
        return f"NULL::VARCHAR AS {name}"
    if pa.types.is_nested(present.field(name).type):
        return f"to_json({name})::VARCHAR AS {name}"
    return f"CAST({name} AS VARCHAR) AS {name}"


def _require_columns(table: str, present: list[str], path: Path) -> None:
    missing = [field.name for field in SCHEMAS[table] if not field.nullable and field.name not in present]
    if missing:
        raise BadInputError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(present)}"
        )


def _csv_header(path: Path) -> list[str]:
    for batch in _line_batches(path):
        line = batch[RAW][0].as_py().decode("utf-8-sig", errors="replace")
        return next(csv.reader([line]))
    raise BadInputError(f"{path} is empty; a CSV file starts with a line of column names")


def _line_batches(path: Path, *, skip: int = 0) -> Iterator[pa.RecordBatch]:
    """Non-blank lines with their numbers from 1, in batches of about ``CHUNK_BYTES``."""
    number = 0
    for chunk in _whole_lines(path):
        lines = pc.list_flatten(pc.split_pattern(pa.array([chunk], pa.large_binary()), b"\n"))
        lines = pc.replace_substring_regex(lines.cast(pa.binary()), r"\s+$", b"")
        numbers = pa.array(range(number + 1, number + len(lines) + 1), pa.int64())
        number += len(lines)
        wanted = pc.and_(pc.greater(numbers, skip), pc.not_equal(lines, b""))
        lines, numbers = lines.filter(wanted), numbers.filter(wanted)
        if len(lines):
            is_csv = file_format(path) == ".csv"
            cells = _quoted_cells(lines) if is_csv else pa.nulls(len(lines), _LINES.field("cells").type)
            yield pa.record_batch([numbers, lines, cells], schema=_LINES)


def _whole_lines(path: Path) -> Iterator[bytes]:
    rest = b""
    try:
        with pa.input_stream(path, compression="gzip" if path.suffix == ".gz" else None) as stream:
            while block := stream.read(CHUNK_BYTES):
                whole, newline, tail = (rest + block).rpartition(b"\n")
                if newline:
                    yield whole
                rest = tail
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path} cannot be read to its end: {error}; replace or remove it") from error
    if rest:
        yield rest


def _quoted_cells(lines: pa.Array) -> pa.Array:
    """Fields of the lines that hold a quote, null for the others, which DuckDB splits faster."""
    cells: list[list[str] | None] = [None] * len(lines)
    for i in pc.indices_nonzero(pc.match_substring(lines, b'"')).to_pylist():
        text = lines[i].as_py().decode("utf-8", errors="replace")
        try:
            cells[i] = next(csv.reader([text], strict=True))
        except csv.Error:
            cells[i] = []
    return pa.array(cells, pa.list_(pa.string()))
