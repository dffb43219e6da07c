"""Importer of KuaiRand logs (Gao et al., CIKM 2022, doi 10.1145/3511808.3557624), official CSV layout.

Every line of a log becomes a row of a landing file, whatever it holds. Columns stay text, and a value that
does not fit is passed on as it is; a line with a wrong number of fields goes, raw, into a file of its own.
Ingest quarantines both. Rows in = rows out is checked per file. Repeated rows stay; ingest drops them.

What the log means: times are epoch milliseconds; empty values, ``UNKNOWN`` and ``-124`` are unknown; ids
start at 0; ``visible_status`` 0 is visible. Its ``date`` is a day of UTC+8, but not always that of
``time_ms``: about 1% of a day's rows carry the next day's. Only ``time_ms`` decides; both are counted.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from features import schema
from features.errors import BadInputError, InvalidDataError
from features.settings import Settings
from features.sources import kuairand_sql as sql
from features.sources.landing_writer import landing_folder, write_lines, write_parquet

log = structlog.get_logger(__name__)

LOGS: Final = "log_*.csv"
VIDEOS: Final = "video_features_basic_*.csv"
USERS: Final = "user_features_*.csv"
NAME: Final = "kuairand"


@dataclass(frozen=True)
class ImportReport:
    """What one import read and wrote."""

    files: dict[str, int]
    """Log file -> rows, each of which lies in a landing file now."""
    local_days: dict[str, int]
    """Day of UTC+8 by ``time_ms`` -> rows; ``unknown`` where a row has no usable time."""
    stated_days: dict[str, int]
    """The log's own ``date`` column, as written -> rows; near midnight it differs from ``local_days``."""
    utc_days: dict[str, int]
    """Landing day -> rows."""
    num_videos: int
    num_users: int
    seconds: float
    """Wall time."""


def import_kuairand(folder: Path, settings: Settings, *, logs: str = LOGS) -> ImportReport:
    """Write the logs in ``folder`` (or its ``data``) as landing files, with a snapshot of videos and users.

    Args:
        logs: pattern of the log files, without ``.gz``; ``log_standard_*.csv`` leaves the random log out.

    Raises:
        BadInputError: the folder, a file or a column is missing, or a file cannot be read; the text names it.
    """
    started = time.perf_counter()
    folder = _data_folder(folder, logs)
    log_files, video_files, user_files = (_find(folder, pattern) for pattern in (logs, VIDEOS, USERS))
    files: dict[str, int] = {}
    local_days: Counter[str] = Counter()
    stated_days: Counter[str] = Counter()
    utc_days: Counter[str] = Counter()
    with duckdb.connect() as connection:
        _require_columns(connection, log_files, sql.LOG_COLUMNS)
        _require_columns(connection, video_files, sql.VIDEO_COLUMNS)
        _require_columns(connection, user_files, sql.USER_COLUMNS)
        for file in log_files:
            by_day = _import_log(connection, file, settings)
            files[file.name] = by_day.total()
            utc_days += by_day
            local_days += Counter(dict(connection.execute(sql.LOCAL_DAYS).fetchall()))
            stated_days += Counter(dict(connection.execute(sql.STATED_DAYS).fetchall()))
            log.info("log imported", file=file.name, rows=by_day.total())
        first_day = min(utc_days)
        num_videos = _import_snapshot(
            connection, video_files, sql.SELECT_VIDEOS, settings, schema.VIDEOS, first_day
        )
        select_users = sql.select_users(_header(connection, user_files[0]))
        num_users = _import_snapshot(connection, user_files, select_users, settings, schema.USERS, first_day)
    return ImportReport(
        files=files,
        local_days=dict(sorted(local_days.items())),
        stated_days=dict(sorted(stated_days.items())),
        utc_days=dict(sorted(utc_days.items())),
        num_videos=num_videos,
        num_users=num_users,
        seconds=time.perf_counter() - started,
    )


def _data_folder(folder: Path, logs: str) -> Path:
    """``folder`` itself, or the ``data`` subfolder that the official archive has."""
    for candidate in (folder, folder / "data"):
        if candidate.is_dir() and (any(candidate.glob(logs)) or any(candidate.glob(f"{logs}.gz"))):
            return candidate
    raise BadInputError(f"{folder} holds no {logs}[.gz]; give the folder of the KuaiRand CSV files")


def _find(folder: Path, pattern: str) -> list[Path]:
    files = sorted([*folder.glob(pattern), *folder.glob(f"{pattern}.gz")])
    if not files:
        raise BadInputError(f"{folder} holds no {pattern}[.gz]")
    twice = [file for file in files if file.with_name(f"{file.name}.gz") in files]
    if twice:
        raise BadInputError(f"{twice[0]} lies there plain and as .gz; remove one of them")
    return files


def _require_columns(
    connection: duckdb.DuckDBPyConnection, files: list[Path], columns: Sequence[str]
) -> None:
    for file in files:
        missing = [column for column in columns if column not in _header(connection, file)]
        if missing:
            raise BadInputError(
                f"{file} has no column {', '.join(missing)}; its header must name {', '.join(columns)}"
            )


def _header(connection: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    try:
        rows = connection.execute(sql.FIRST_LINE, {"file": str(file)}).fetchall()
    except duckdb.Error as error:
        raise BadInputError(f"{file} cannot be read: {error}") from error
    return (rows[0][0] or "").strip().split(",") if rows else []


def _import_log(connection: duckdb.DuckDBPyConnection, file: Path, settings: Settings) -> Counter[str]:
    """Write the landing files of one log and return their rows by landing day."""
    stem = f"{NAME}-{file.name.removesuffix('.gz').removesuffix('.csv')}"
    header = _header(connection, file)
    try:
        connection.execute(sql.LOAD_LINES, {"file": str(file)})
    except duckdb.Error as error:
        raise BadInputError(f"{file} cannot be read: {error}") from error
    connection.execute(sql.load_rows(header), {"fields": len(header), "file": file.name})
    ((first_day,),) = connection.execute(sql.FIRST_DAY).fetchall()
    if first_day is None:
        raise BadInputError(f"{file} has no row with a usable time_ms; the days of its rows are unknown")
    written: Counter[str] = Counter()
    for (day,) in connection.execute(sql.LANDING_DAYS, {"first_day": first_day}).fetchall():
        rows = connection.sql(
            sql.SELECT_WATCHES, params={"day": day, "first_day": first_day}
        ).to_arrow_table()
        path = landing_folder(settings, schema.WATCHES, day) / f"{stem}.parquet"
        write_parquet(path, rows)
        written[day] += pq.read_metadata(path).num_rows
    rejected = _rejected_lines(connection, len(header))
    if len(rejected):
        path = landing_folder(settings, schema.WATCHES, first_day) / f"{stem}-rejected.jsonl"
        write_lines(path, rejected)
        written[first_day] += path.read_bytes().count(b"\n")
    ((num_lines,),) = connection.execute(sql.NUM_LINES).fetchall()
    if written.total() != num_lines:
        raise InvalidDataError(
            f"{file} has {num_lines} rows, but {written.total()} were written; do not ingest them"
        )
    return written


def _rejected_lines(connection: duckdb.DuckDBPyConnection, num_fields: int) -> pa.Array:
    lines = connection.sql(sql.REJECTED_LINES, params={"fields": num_fields}).to_arrow_table()["line"]
    return lines.cast(pa.string()).combine_chunks()


def _import_snapshot(
    connection: duckdb.DuckDBPyConnection,
    files: list[Path],
    query: str,
    settings: Settings,
    table: str,
    day: str,
) -> int:
    try:
        rows: pa.Table = connection.sql(
            query, params={"files": [str(file) for file in files]}
        ).to_arrow_table()
    except duckdb.Error as error:
        raise BadInputError(f"{', '.join(map(str, files))} cannot be read: {error}") from error
    write_parquet(landing_folder(settings, table, day) / f"{NAME}.parquet", rows)
    return len(rows)
