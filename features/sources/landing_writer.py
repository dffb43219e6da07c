"""Landing files: ``landing/<table>/<day of arrival>/<name>``, written whole or not at all.

The same rows always give the same bytes: gzip carries no time, and rows keep the order of the caller.
Text formats write times as ISO 8601 in UTC with microseconds, booleans as true/false, an unknown value as
null (JSONL) or as nothing (CSV).
"""

import gzip
import io
import os
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.settings import Settings

GZIP_LEVEL: Final = 1
"""Level 6 makes the files a third smaller and the simulator half as fast."""


def landing_folder(settings: Settings, table: str, day: str) -> Path:
    """The folder of files of ``table`` that arrived on ``day``."""
    return settings.landing / table / day


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` (gzipped if the name says so) so that readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=GZIP_LEVEL, mtime=0)
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(data)
    os.replace(draft, path)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write ``table`` as one Parquet file, atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def write_lines(path: Path, lines: pa.Array, header: str = "") -> None:
    """Write text ``lines``, each of which carries its own line end, below an optional header line."""
    write_bytes(path, (header + "\n").encode() * bool(header) + _joined(lines))


def jsonl_lines(table: pa.Table) -> pa.Array:
    """One JSON object per row, with line end."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(number, field.name, _as_text(table[field.name].combine_chunks()))
    connection = duckdb.connect()
    connection.execute("SET threads = 1")  # files are written side by side
    connection.register("landed", table)
    lines = connection.sql("SELECT to_json(landed)::VARCHAR || chr(10) AS line FROM landed").to_arrow_table()
    return lines["line"].combine_chunks()


def csv_lines(table: pa.Table) -> pa.Array:
    """One CSV line per row, with line end; strings must not need quoting."""
    pieces: list[pa.Array | str] = []
    for number, name in enumerate(table.column_names):
        pieces += ["," if number else "", pc.fill_null(_as_text(table[name].combine_chunks()), "")]
    return pc.binary_join_element_wise(*pieces, "\n", "")


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        text = pc.cast(values.cast(pa.timestamp("us")), pa.string())  # without zone: 20 times faster
        return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")
    return pc.cast(values, pa.string())


def _joined(lines: pa.Array) -> bytes:
    """The text of all lines: Arrow keeps the values of a string array one after another in one buffer."""
    offsets = memoryview(lines.buffers()[1]).cast("i")
    text = memoryview(lines.buffers()[2])
    return bytes(text[offsets[lines.offset] : offsets[lines.offset + len(lines)]])
