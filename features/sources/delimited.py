"""Delimited text as numbered lines and their fields, whatever the lines hold: nothing is dropped or refused.

A CSV reader would do one or the other with a line that it cannot parse. Lines without a quote are split by
DuckDB (``fields_sql``), which is faster; lines with one are split here. Fields do not span lines. ``.gz``,
``.bz2`` and ``.zst`` are unpacked on the way.
"""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from features.errors import BadInputError
from features.sql import literal

CHUNK_BYTES: Final = 32 << 20
NUMBER: Final = "number"
RAW: Final = "raw"
CELLS: Final = "cells"
LINES: Final = pa.schema([(NUMBER, pa.int64()), (RAW, pa.binary()), (CELLS, pa.list_(pa.string()))])
UTF8: Final = "utf-8"


@dataclass(frozen=True, slots=True)
class Layout:
    """How lines are made of fields."""

    delimiter: str = ","
    has_quotes: bool = True
    encoding: str = UTF8
    names: Sequence[str] | None = None
    """Column names of files without a header; a first line that repeats them is still no row."""


def read_header(path: Path, layout: Layout) -> list[str]:
    """Names of the columns.

    Raises:
        BadInputError: the file is empty or cannot be read.
    """
    if layout.names is not None:
        return list(layout.names)
    line = _first_line(path, layout)
    if line is None:
        raise BadInputError(f"{path} is empty; its first line must name the columns")
    return _fields(line, layout)


def line_batches(path: Path, layout: Layout) -> Iterator[pa.RecordBatch]:
    """Rows ``LINES`` of all lines but blank ones and the header; ``number`` counts the lines from 1.

    ``cells`` are the fields of lines that hold a quote (none, if quotes are not balanced), else null.

    Raises:
        BadInputError: the file cannot be read to its end.
    """
    to_skip = _header_lines(path, layout)
    number = 0
    for chunk in _whole_lines(path, layout.encoding):
        lines = pc.list_flatten(pc.split_pattern(pa.array([chunk], pa.large_binary()), b"\n"))
        lines = pc.replace_substring_regex(lines.cast(pa.binary()), pattern=r"\r+$", replacement="")
        numbers = pa.array(range(number + 1, number + len(lines) + 1), pa.int64())
        number += len(lines)
        wanted = pc.match_substring_regex(lines, r"\S")
        lines, numbers = lines.filter(wanted), numbers.filter(wanted)
        lines, numbers, to_skip = lines[to_skip:], numbers[to_skip:], max(0, to_skip - len(lines))
        if len(lines):
            yield pa.record_batch([numbers, lines, _quoted_cells(lines, layout)], schema=LINES)


def fields_sql(delimiter: str) -> str:
    """DuckDB list of the fields of a line, from its ``text`` and ``cells``."""
    return f"coalesce({CELLS}, string_split(text, {literal(delimiter)}))"


def _header_lines(path: Path, layout: Layout) -> int:
    if layout.names is None:
        return 1
    line = _first_line(path, layout)
    return int(line is not None and _fields(line, layout) == list(layout.names))


def _first_line(path: Path, layout: Layout) -> str | None:
    for chunk in _whole_lines(path, layout.encoding):
        for line in chunk.split(b"\n"):
            if line.strip():
                return line.decode(errors="replace")
    return None


def _fields(line: str, layout: Layout) -> list[str]:
    if layout.has_quotes:
        return [name.strip() for name in next(csv.reader([line], delimiter=layout.delimiter))]
    return [name.strip() for name in line.split(layout.delimiter)]


def _whole_lines(path: Path, encoding: str) -> Iterator[bytes]:
    """Chunks of whole lines, in UTF-8 unless the bytes are not what ``encoding`` says."""
    rest = b""
    try:
        with pa.input_stream(path, compression="detect") as stream:
            rest = stream.read(len(BOM_UTF8)).removeprefix(BOM_UTF8)
            while block := stream.read(CHUNK_BYTES):
                whole, newline, tail = (rest + block).rpartition(b"\n")
                if newline:
                    yield _as_utf8(whole, encoding)
                rest = tail
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInputError(f"{path} cannot be read to its end: {error}; replace or remove it") from error
    if rest:
        yield _as_utf8(rest, encoding)


def _as_utf8(chunk: bytes, encoding: str) -> bytes:
    if encoding.lower() in (UTF8, "utf8"):
        return chunk
    return chunk.decode(encoding, errors="replace").encode()


def _quoted_cells(lines: pa.Array, layout: Layout) -> pa.Array:
    cells: list[list[str] | None] = [None] * len(lines)
    if layout.has_quotes:
        for i in pc.indices_nonzero(pc.match_substring(lines, b'"')).to_pylist():
            cells[i] = _split_quoted(lines[i].as_py(), layout)
    return pa.array(cells, pa.list_(pa.string()))


def _split_quoted(line: bytes, layout: Layout) -> list[str]:
    try:
        text = line.decode()
        return next(csv.reader([text], delimiter=layout.delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError):
        return []
