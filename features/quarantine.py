"""Rows that ingest refused: look at them, repair them, give them back.

``export_rows`` writes the refused rows of a landing day with their columns as far as they can be read;
somebody mends ``row``; ``replay`` puts the mended rows into landing (see ``features/replays.py``) and ingests
the day. ``read = kept + duplicate + quarantined`` holds before and after, with the same ``read``.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import structlog

from features.errors import BadInputError, InvalidDataError
from features.home_lock import shared_home
from features.ingest import ingest
from features.lake import connect
from features.landing import Landing
from features.landing_manifest import Manifest
from features.replays import reference, replay_lines, replay_name
from features.schema import FILE, LINE, RAW, RULE, SCHEMAS
from features.settings import Settings
from features.sql import parquet_rows
from features.stage import write_atomically
from features.text_rows import PROBLEM, text_rows

log = structlog.get_logger(__name__)

ROW: Final = "row"
"""What somebody repairs: the columns of the refused row."""


@dataclass(frozen=True, slots=True)
class RuleCount:
    """Rows of one landing day that one rule refused."""

    table: str
    landing_day: str
    rule: str
    rows: int


@dataclass(frozen=True, slots=True)
class Refused:
    """One row in quarantine."""

    file: str
    line: int
    rule: str
    raw: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a replay."""

    file: str | None
    """The landing file that was written; ``None`` if nothing was repaired."""
    repaired: int
    """Rows in it."""
    still_refused: int
    """Rows of the table and landing day that are in quarantine now."""


def rule_counts(settings: Settings, table: str | None = None) -> list[RuleCount]:
    """Rows in quarantine by table, landing day and rule."""
    found = []
    for path in sorted(settings.quarantine.glob(f"{table or '*'}/*.parquet")):
        rows = connect().execute(
            f"SELECT {RULE}, count(*) FROM {parquet_rows(path)} GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        found += [RuleCount(path.parent.name, path.stem, rule, count) for rule, count in rows.fetchall()]
    return found


def refused_rows(
    table: str, day: str, settings: Settings, *, rule: str | None = None, limit: int | None = None
) -> list[Refused]:
    """Rows of one landing day in the order of file and line.

    Args:
        rule: text that the rule contains; all rules if ``None``.

    Raises:
        BadInputError: nothing of that table and day was ever ingested.
    """
    path = settings.quarantine / table / f"{day}.parquet"
    if not path.exists():
        known = sorted(settings.quarantine.glob("*/*.parquet"))
        listed = f"{known[0].stem}..{known[-1].stem}" if known else "nothing yet"
        raise BadInputError(f"no quarantine of {table} {day} (there is: {listed}); ingest the day first")
    rows = connect().execute(
        f"SELECT {FILE}, {LINE}, {RULE}, {RAW} FROM {parquet_rows(path)} "
        f"WHERE contains({RULE}, $rule) ORDER BY {FILE}, {LINE} LIMIT $limit",
        {"rule": rule or "", "limit": limit if limit is not None else 1 << 62},
    )
    return [Refused(*row) for row in rows.fetchall()]


def export_rows(table: str, day: str, out: Path, settings: Settings, *, rule: str | None = None) -> int:
    """Write refused rows as JSONL with ``file, line, rule, raw`` and ``row``, to be mended; returns how many.

    ``row`` holds the columns of the refused row; it is empty where the row could not be taken apart, or is
    not in landing any more.
    """
    rows = refused_rows(table, day, settings, rule=rule)
    columns = _columns_of(table, day, rows, settings)
    lines = [
        json.dumps(
            {FILE: r.file, LINE: r.line, RULE: r.rule, RAW: r.raw, ROW: columns.get((r.file, r.line), {})}
        )
        for r in rows
    ]
    write_atomically(out, "\n".join(lines))
    return len(lines)


def replay(table: str, day: str, repaired: Path, settings: Settings) -> Replayed:
    """Give the mended rows of an export back and ingest the landing day; rows left as they were stay refused.

    The same file twice changes nothing.

    Raises:
        BadInputError: a line is no row of an export, or names a row that is not in quarantine; or files
            of the day left the landing area, so that ingesting it would lose their rows.
        InvalidDataError: the day fails validation with the mended rows; landing is as before.
    """
    with shared_home(settings):
        _require_landing(day, settings)
        changed = _changed_rows(table, day, repaired, settings)
        lines = replay_lines([(row[ROW], reference(row[FILE], row[LINE], row[RAW])) for _, row in changed])
        file = replay_name(table, day, lines) if changed else None
        is_new = file is not None and file not in {
            known.name for known in Landing(settings).files(table, day)
        }
        if file and is_new:
            _require_refused(table, day, repaired, changed, settings)
            Landing(settings).write(file, lines)
        try:
            staged = ingest([day], settings=settings)
        except InvalidDataError:
            if file and is_new:
                Landing(settings).remove(file)
            raise
    still = sum(count.quarantined for count in staged.counts if count.table == table)
    log.info("quarantine replayed", table=table, day=day, file=file, rows=len(changed), still_refused=still)
    return Replayed(file, len(changed), still)


def _require_landing(day: str, settings: Settings) -> None:
    manifest = Manifest.read(settings, day)
    changes = manifest.changes(Landing(settings).stamps(day)) if manifest else {}
    gone = [name for name, change in changes.items() if change == "removed"]
    if gone:
        raise BadInputError(
            f"{', '.join(gone)} left the landing area; put them back first: "
            f"ingesting {day} without them would lose their rows"
        )


def _changed_rows(
    table: str, day: str, repaired: Path, settings: Settings
) -> list[tuple[int, dict[str, Any]]]:
    """Line number and content of the export's rows that are not as they were refused."""
    originals = _columns_of(table, day, refused_rows(table, day, settings), settings)
    return [
        (number, row)
        for number, row in _repaired_rows(repaired)
        if row[ROW] and originals.get((row[FILE], row[LINE])) != row[ROW]
    ]


def _require_refused(
    table: str, day: str, repaired: Path, rows: Sequence[tuple[int, dict[str, Any]]], settings: Settings
) -> None:
    refused = {(row.file, row.line): row.raw for row in refused_rows(table, day, settings)}
    for number, row in rows:
        if refused.get((row[FILE], row[LINE])) != row[RAW]:
            raise BadInputError(
                f"{repaired}:{number}: {row[FILE]}:{row[LINE]} is not in the quarantine of {table} {day} "
                "any more; export it again"
            )


def _repaired_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInputError(f"{path}:{number} is not JSON: {error}") from error
        if not isinstance(row, dict) or not {FILE, LINE, RAW, ROW} <= row.keys():
            raise BadInputError(
                f"{path}:{number} needs {FILE}, {LINE}, {RAW} and {ROW}; start from `facet quarantine export`"
            )
        if row[ROW] is not None and not isinstance(row[ROW], dict):
            raise BadInputError(f"{path}:{number}: {ROW} must be a JSON object of columns")
        yield number, row


def _columns_of(
    table: str, day: str, rows: Sequence[Refused], settings: Settings
) -> dict[tuple[str, int], dict[str, Any]]:
    """Columns of refused rows by file and line, read from landing; a JSON row keeps its own types."""
    wanted: dict[str, dict[int, str]] = {}
    for row in rows:
        wanted.setdefault(row.file, {})[row.line] = row.raw
    found: dict[tuple[str, int], dict[str, Any]] = {}
    landing, connection = Landing(settings), connect()
    for file in landing.files(table, day):
        if file.name not in wanted:
            continue
        lines = wanted[file.name]
        names = ", ".join(SCHEMAS[table].names)
        connection.register("wanted", pa.table({LINE: list(lines)}))
        connection.register("texts", text_rows(connection, table, landing.fetch(file)))
        query = f"SELECT {LINE}, {RAW}, {names} FROM texts SEMI JOIN wanted USING ({LINE})"
        for line, raw, *values in connection.execute(f"{query} WHERE {PROBLEM} IS NULL").fetchall():
            if raw == lines[line]:
                cells = dict(zip(SCHEMAS[table].names, values, strict=True))
                found[file.name, line] = _json_object(raw) or {
                    k: v for k, v in cells.items() if v is not None
                }
    landing.forget_copies()
    return found


def _json_object(raw: str) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
