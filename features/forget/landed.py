"""Users out of landing files and quarantine.

An erased row becomes a row without content: a blank line, or nulls in Parquet, neither of which is a row.
So the others keep their line numbers, by which quarantine and replays name them. A file that was ingested
is noted with its new stamp and is not read again; it keeps the time of its last change, by which a run
after a killed one knows that nobody but an erasure has changed it.
"""

import gzip
import io
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.forget.users import Users
from features.lake import connect
from features.landing import Landing, LandingFile
from features.landing_manifest import Manifest
from features.replays import PREFIX
from features.schema import FILE, LINE, RAW, SCHEMAS, USER_ID
from features.settings import Settings
from features.sql import literal
from features.stage import write_parquet
from features.text_rows import text_rows

TABLES_OF_USERS: Final = tuple(table for table, schema in SCHEMAS.items() if USER_ID in schema.names)
DRAFT: Final = ".erased"
"""Ending of a file that is being rewritten."""
BLOCK_BYTES: Final = 1 << 20
GZIP_LEVEL: Final = 6
"""The default of zlib; that of Arrow takes four times as long."""
Refused = tuple[str, int, str]
"""File, line and text of a row in quarantine."""


def erase_landing(users: Users, settings: Settings) -> int:
    """Blank the rows of ``users`` in every landing file; returns how many there were.

    Raises:
        BadInputError: a file cannot be read; replace or remove it.
        RetryLaterError: the store of the landing area fails.
    """
    landing = Landing(settings, settings.staging / "erasure")
    erased = 0
    for day in landing.days():
        manifest = Manifest.read(settings, day)
        noted = dict(manifest.files) if manifest else {}
        for table in TABLES_OF_USERS:
            for file in landing.files(table, day):
                rows, stamp = _erase_file(users, table, file, landing)
                erased += rows
                if noted.get(file.name) == file.stamp or _same_moment(noted.get(file.name), stamp):
                    noted[file.name] = stamp
        if manifest and noted != manifest.files:
            manifest.model_copy(update={"files": noted}).write(settings, day)
        _remove_drafts(settings, day)
    landing.forget_copies()
    return erased


def erase_quarantine(users: Users, settings: Settings) -> int:
    """Remove refused rows that name ``users``, except those that landing still holds as somebody else's."""
    landing = Landing(settings, settings.staging / "erasure")
    erased = 0
    for table in TABLES_OF_USERS:
        for path in sorted((settings.quarantine / table).glob("*.parquet")):
            found = pq.read_table(path, partitioning=None)
            named = [
                (row[FILE], row[LINE], row[RAW]) if users.are_named_in(row[RAW] or "") else None
                for row in found.select([FILE, LINE, RAW]).to_pylist()
            ]
            rows = {row for row in named if row}
            gone = rows - _still_landed(rows, table, path.stem, landing) if rows else set()
            if gone:
                write_parquet(found.filter(pa.array([row not in gone for row in named])), path)
            erased += len(gone)
    landing.forget_copies()
    return erased


def _erase_file(users: Users, table: str, file: LandingFile, landing: Landing) -> tuple[int, str]:
    """Number of rows that were blanked, and the stamp of the file now."""
    local = landing.fetch(file)
    if local.format != ".parquet" and not _may_name(users, local):
        return 0, file.stamp
    connection = connect()
    connection.register("texts", text_rows(connection, table, local))
    found = connection.execute(
        f"SELECT {LINE} FROM texts WHERE ({_holds(users)}) AND {users.own_text_sql()}"
    ).fetchall()
    lines = {line for (line,) in found}
    if not lines:
        return 0, file.stamp
    draft = local.path.with_name(f".{local.path.name}{DRAFT}")
    write = _blank_parquet if local.format == ".parquet" else _blank_lines
    write(local, draft, lines)
    return len(lines), landing.replace(file, draft)


def _holds(users: Users) -> str:
    """Condition on the text of a row that all rows of ``users`` meet; it spares taking the others apart."""
    return " OR ".join(f"contains({RAW}, {literal(token)})" for token in users.tokens)


def _may_name(users: Users, file: LandingFile) -> bool:
    """Whether the bytes of the file hold one of the ids at all: far cheaper than to take its rows apart."""
    tokens = [token.encode() for token in users.tokens]
    overlap = max(map(len, tokens))
    tail = b""
    with pa.input_stream(file.path, compression=file.packing) as stream:
        while block := stream.read(BLOCK_BYTES):
            piece = tail + block
            if any(token in piece for token in tokens):
                return True
            tail = piece[-overlap:]
    return False


def _blank_lines(file: LandingFile, draft: Path, lines: set[int]) -> None:
    with pa.input_stream(file.path, compression=file.packing) as stream, _writer(draft, file.packing) as out:
        for number, line in enumerate(io.BufferedReader(stream, BLOCK_BYTES), start=1):
            out.write(b"\n" if number in lines else line)


def _writer(draft: Path, packing: str | None) -> io.BufferedIOBase:
    raw = gzip.GzipFile(draft, "wb", GZIP_LEVEL) if packing == "gzip" else pa.output_stream(draft, packing)
    return io.BufferedWriter(raw, BLOCK_BYTES)


def _blank_parquet(file: LandingFile, draft: Path, lines: set[int]) -> None:
    source = pq.ParquetFile(file.path)
    names = source.schema_arrow.names
    schema = pa.schema(
        [field.with_nullable(True) for field in source.schema_arrow], metadata=source.schema_arrow.metadata
    )
    packing = source.metadata.row_group(0).column(0).compression
    first = 1
    with pq.ParquetWriter(draft, schema, compression="NONE" if packing == "UNCOMPRESSED" else packing) as out:
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group)
            places = pa.array([None if first + i in lines else i for i in range(len(rows))], pa.int64())
            blanked = [pc.take(rows[name], places) for name in names]
            out.write_table(pa.Table.from_arrays(blanked, schema=schema))
            first += len(rows)


def _same_moment(noted: str | None, stamp: str) -> bool:
    """Whether two stamps of a local file name the same time of change, whatever its size."""
    return noted is not None and "-" in noted and noted.partition("-")[2] == stamp.partition("-")[2]


def _remove_drafts(settings: Settings, day: str) -> None:
    """What a killed replay or erasure left; other hidden files are somebody's who is still writing them."""
    for table in TABLES_OF_USERS:
        for draft in (settings.landing / table / day).glob(".*"):
            if draft.name.startswith(f".{PREFIX}") or draft.name.endswith(DRAFT):
                draft.unlink(missing_ok=True)


def _still_landed(rows: set[Refused], table: str, day: str, landing: Landing) -> set[Refused]:
    """Those of ``rows`` that are in landing as they were refused."""
    held: set[Refused] = set()
    for file in landing.files(table, day):
        wanted = [(line, raw) for name, line, raw in rows if name == file.name]
        if wanted:
            connection = connect()
            lines, texts = map(list, zip(*wanted, strict=True))
            connection.register("wanted", pa.table({LINE: lines, RAW: texts}))
            connection.register("texts", text_rows(connection, table, landing.fetch(file)))
            found = connection.execute(
                f"SELECT {LINE}, {RAW} FROM texts SEMI JOIN wanted USING ({LINE}, {RAW})"
            )
            held |= {(file.name, line, raw) for line, raw in found.fetchall()}
    return held
