"""Landing files as rows of text: JSONL, CSV and Parquet, packed or not, with each row's place and text.

Every column comes out as text; ``features/rules.py`` types it. So a bad value is one bad row, never a
file that cannot be read. Columns that Facet does not know go together into ``extra``, a JSON object. CSV
fields may be quoted but not span lines. Blank lines are no rows, nor are rows of nulls in Parquet.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import BadInputError
from features.landing import LandingFile
from features.schema import EVENT_DAY, EXTRA, FILE, LANDING_DAY, LINE, RAW, SCHEMAS, SNAPSHOT_DAY
from features.sql import identifier, literal

PROBLEM: Final = "problem"
"""Why a row has no columns at all; null for rows that could be taken apart."""
CURATED_ONLY: Final = (LANDING_DAY, EVENT_DAY, SNAPSHOT_DAY)
"""Columns that ingest sets itself; what a file says about them is not even extra."""
CHUNK_BYTES: Final = 32 << 20
_BYTES: Final = "bytes"
"""A line that is no text; null for all others."""
_SHOWN: Final = f"CASE WHEN text IS NULL THEN {_BYTES}::VARCHAR ELSE text END"
"""The line as it came; bytes that are no text, escaped."""
_SPACES: Final = np.frombuffer(b" \t\r\f\v", dtype=np.uint8)
_LINES: Final = pa.schema(
    [(LINE, pa.int64()), ("text", pa.string()), (_BYTES, pa.binary()), ("cells", pa.list_(pa.string()))]
)


def text_rows(
    connection: duckdb.DuckDBPyConnection, table: str, file: LandingFile
) -> duckdb.DuckDBPyRelation:
    """``file, line, raw, problem`` and every landing column of ``table`` as text (null where absent).

    Args:
        connection: a view ``lines`` is registered in it; consume the result before the next call.

    Raises:
        BadInputError: the file cannot be read, its header lacks a required column, or a column of a
            Parquet file has a type that cannot be meant.
    """
    if file.format == ".parquet":
        query = _parquet_query(table, file.path)
    elif file.format == ".csv":
        header = _csv_header(file)
        _require_columns(table, header, file.path)
        connection.register("lines", pa.RecordBatchReader.from_batches(_LINES, _decoded(file, skip=1)))
        query = _csv_query(table, header)
    else:
        connection.register("lines", pa.RecordBatchReader.from_batches(_LINES, _decoded(file)))
        query = _jsonl_query(table)
    return connection.sql(f"SELECT $name AS {FILE}, * FROM ({query})", params={"name": file.name})


def _jsonl_query(table: str) -> str:
    names = SCHEMAS[table].names
    known = [*names, *CURATED_ONLY]
    structure = json.dumps(dict.fromkeys(names, "VARCHAR"))
    columns = {name: f"fields.{name}" for name in names}
    num_known = " + ".join(f"(fields.{name} IS NOT NULL)::INTEGER" for name in names)
    is_known = f"list_has_all([{', '.join(map(literal, known))}], json_keys(text))"
    removal = "{" + ", ".join(f'"{name}": null' for name in known) + "}"  # RFC 7396: null removes
    others = f"CASE WHEN NOT {is_known} THEN json_merge_patch(text, '{removal}') END"
    has_more = "fields IS NOT NULL AND len(json_keys(text)) > num_known"  # cheap, and seldom true
    columns[EXTRA] = f"coalesce({columns[EXTRA]}, CASE WHEN {has_more} THEN {others} END)"
    return f"""
        SELECT {LINE}, {_SHOWN} AS {RAW}, {_select(columns)},
               CASE WHEN num_known > 0 THEN NULL  -- so that a good row is parsed only once
                    WHEN text IS NULL THEN 'not UTF-8'
                    WHEN NOT json_valid(text) THEN 'not JSON'
                    WHEN json_type(text) <> 'OBJECT' THEN 'not a JSON object' END AS {PROBLEM}
        FROM (SELECT *, {num_known} AS num_known
              FROM (SELECT *, TRY(from_json(text, '{structure}')) AS fields FROM lines))
    """


def _csv_query(table: str, header: list[str]) -> str:
    cells = {name: f"nullif(fields[{i}], '')" for i, name in enumerate(header, start=1)}
    columns = {name: cells.get(name, "NULL::VARCHAR") for name in SCHEMAS[table].names}
    if EXTRA not in cells:
        columns[EXTRA] = _extra({name: cell for name, cell in cells.items() if name not in columns})
    return f"""
        SELECT {LINE}, {_SHOWN} AS {RAW}, {PROBLEM}, {_select(columns)}
        FROM (SELECT * REPLACE (CASE WHEN {PROBLEM} IS NULL THEN fields END AS fields)
              FROM (SELECT *, CASE WHEN text IS NULL THEN 'not UTF-8'
                                   WHEN len(fields) = 0 THEN 'quotes are not balanced'
                                   WHEN len(fields) <> {len(header)} THEN 'not {len(header)} columns'
                              END AS {PROBLEM}
                    FROM (SELECT *, coalesce(cells, string_split(text, ',')) AS fields FROM lines)))
    """


def _parquet_query(table: str, path: Path) -> str:
    try:
        present = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path} is not a Parquet file: {error}; replace or remove it") from error
    _require_columns(table, present.names, path)
    _refuse_types(table, present, path)
    columns = {name: _as_text(name, present) for name in SCHEMAS[table].names}
    if EXTRA not in present.names:
        columns[EXTRA] = _extra({name: identifier(name) for name in present.names if name not in columns})
    row = ", ".join(f"{literal(name)}: {identifier(name)}" for name in present.names)
    return f"""
        SELECT file_row_number + 1 AS {LINE}, to_json({{{row}}})::VARCHAR AS {RAW},
               NULL::VARCHAR AS {PROBLEM}, {_select(columns)}
        FROM read_parquet({literal(str(path))}, file_row_number = true, hive_partitioning = false)
        WHERE {" OR ".join(f"{identifier(name)} IS NOT NULL" for name in present.names)}
    """


def _as_text(name: str, present: pa.Schema) -> str:
    if name not in present.names:
        return "NULL::VARCHAR"
    if pa.types.is_nested(present.field(name).type):
        return f"to_json({name})::VARCHAR"
    return f"CAST({name} AS VARCHAR)"


def _extra(others: Mapping[str, str]) -> str:
    """A JSON object of the columns that are not known, by the SQL of their values; null if there are none."""
    fields = {name: sql for name, sql in others.items() if name not in CURATED_ONLY}
    if not fields:
        return "NULL::VARCHAR"
    return f"to_json({{{', '.join(f'{literal(name)}: {sql}' for name, sql in fields.items())}}})::VARCHAR"


def _select(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{sql} AS {name}" for name, sql in columns.items())


def _require_columns(table: str, present: list[str], path: Path) -> None:
    missing = [field.name for field in SCHEMAS[table] if not field.nullable and field.name not in present]
    if missing:
        raise BadInputError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(present)}"
        )


def _refuse_types(table: str, present: pa.Schema, path: Path) -> None:
    """A column of a type that no value of it can come from was changed by its writer, not damaged in rows."""
    for field in SCHEMAS[table]:
        if field.name not in present.names:
            continue
        found = present.field(field.name).type
        if not _fits(field.type, found):
            raise BadInputError(
                f"{path}: column {field.name} is {found}, which cannot be read as {field.type}; "
                "its writer changed the type, write the file again"
            )


def _fits(wanted: pa.DataType, found: pa.DataType) -> bool:
    kinds = pa.types
    if kinds.is_dictionary(found):
        found = found.value_type
    if kinds.is_null(found) or kinds.is_string(found) or kinds.is_large_string(found):
        return True  # text is judged row by row
    if kinds.is_list(wanted):
        return bool(kinds.is_list(found) or kinds.is_large_list(found))
    if kinds.is_timestamp(wanted):
        return bool(kinds.is_timestamp(found) and found.tz is not None)
    is_number = kinds.is_integer(found) or kinds.is_floating(found) or kinds.is_decimal(found)
    if kinds.is_string(wanted):
        return bool(kinds.is_integer(found))
    if kinds.is_boolean(wanted):
        return bool(kinds.is_boolean(found) or is_number)
    return bool(is_number)


def _csv_header(file: LandingFile) -> list[str]:
    for lines, _ in _line_batches(file):
        line = lines[0].as_py().decode("utf-8-sig", errors="replace")
        header = next(csv.reader([line]))
        if len(set(header)) < len(header):
            raise BadInputError(f"{file.path} names a column twice in its first line: {', '.join(header)}")
        return header
    raise BadInputError(f"{file.path} is empty; a CSV file starts with a line of column names")


def _decoded(file: LandingFile, *, skip: int = 0) -> Iterator[pa.RecordBatch]:
    """The lines of a file as ``_LINES``."""
    for lines, numbers in _line_batches(file, skip=skip):
        no_bytes = pa.nulls(len(lines), pa.binary())
        try:
            text, no_text = lines.cast(pa.string()), no_bytes
        except pa.ArrowInvalid:  # some line is not UTF-8
            text = pa.array([_text_or_none(line.as_py()) for line in lines], pa.string())
            no_text = pc.if_else(pc.is_null(text), lines, no_bytes)
        is_csv = file.format == ".csv"
        cells = _quoted_cells(text) if is_csv else pa.nulls(len(lines), _LINES.field("cells").type)
        yield pa.record_batch([numbers, text, no_text, cells], schema=_LINES)


def _text_or_none(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _line_batches(file: LandingFile, *, skip: int = 0) -> Iterator[tuple[pa.BinaryArray, pa.Int64Array]]:
    """Non-blank lines with their numbers from 1, in batches of about ``CHUNK_BYTES``."""
    number = 0
    for chunk in _whole_lines(file):
        lines = pc.list_flatten(pc.split_pattern(pa.array([chunk], pa.large_binary()), b"\n"))
        lines = lines.cast(pa.binary())
        if _end_in_space(lines):
            lines = pc.replace_substring_regex(lines, r"\s+$", b"")
        numbers = pa.array(np.arange(number + 1, number + len(lines) + 1))
        wanted = pc.and_(pc.greater(numbers, skip), pc.not_equal(lines, b""))
        number += len(lines)
        if not pc.all(wanted).as_py():
            lines, numbers = lines.filter(wanted), numbers.filter(wanted)
        if len(lines):
            yield lines, numbers


def _whole_lines(file: LandingFile) -> Iterator[bytes]:
    rest = b""
    try:
        with pa.input_stream(file.path, compression=file.packing) as stream:
            while block := stream.read(CHUNK_BYTES):
                whole, newline, tail = (rest + block).rpartition(b"\n")
                if newline:
                    yield whole
                rest = tail
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(
            f"{file.path} cannot be read to its end: {error}; replace or remove it"
        ) from error
    if rest:
        yield rest


def _end_in_space(lines: pa.Array) -> bool:
    """Whether any line does: to look is much faster than to strip."""
    _, offsets, data = lines.buffers()
    if data is None:
        return False
    bounds = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    last = bounds[1:][np.diff(bounds) > 0] - 1
    return bool(np.isin(np.frombuffer(data, dtype=np.uint8)[last], _SPACES).any())


def _quoted_cells(lines: pa.StringArray) -> pa.Array:
    """Fields of the lines that hold a quote, null for the others, which DuckDB splits faster."""
    cells: list[list[str] | None] = [None] * len(lines)
    for i in pc.indices_nonzero(pc.match_substring(lines, '"')).to_pylist():
        try:
            cells[i] = next(csv.reader([lines[i].as_py()], strict=True))
        except csv.Error:
            cells[i] = []
    return pa.array(cells, pa.list_(pa.string()))
