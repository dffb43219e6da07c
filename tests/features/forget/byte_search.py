"""Every file of a folder, searched for what names a user: as it lies there, unpacked, and decoded."""

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq


def needles(user_id: int, text: str) -> list[bytes]:
    """A user as digits, as eight bytes in either order, as Protobuf writes numbers, and by name."""
    varint, rest = b"", user_id
    while rest:
        rest, low = rest >> 7, rest & 127
        varint += bytes([low | (128 if rest else 0)])
    digits = str(user_id).encode()
    return [digits, struct.pack("<q", user_id), struct.pack(">q", user_id), varint, text.encode()]


def files_that_name(wanted: list[bytes], root: Path) -> list[str]:
    """Names, below ``root``, of files (or file names) with one of ``wanted`` in them."""
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        texts = [name.encode(), *(_forms(path) if path.is_file() else ())]
        if any(needle in text for needle in wanted for text in texts):
            found.append(name)
    return found


def _forms(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        yield pa.input_stream(path, compression="zstd").read()
    if path.name.endswith(".parquet") and path.read_bytes().endswith(b"PAR1"):
        yield from _columns(pq.read_table(path, partitioning=None))
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as database:
            for (table,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                yield from _columns(database.sql(f'FROM "{table}"').to_arrow_table())


def _columns(rows: pa.Table) -> Iterator[bytes]:
    for column in rows.columns:
        values = column.to_pylist()
        yield str(values).encode()
        yield b"".join(value for value in values if isinstance(value, bytes))
