"""Repaired rows of quarantine as a landing file of their landing day: ``zz-replay-<hash of the rows>.jsonl``.

Each row names the refused row that it stands for, by file, line and hash of its text, in the unknown column
``replaces``. Ingest leaves out a refused row that is replaced, so every row is counted once, and the landing
folder alone decides: ingesting the day again, here or anywhere, gives the same result. A row that is not
refused any more is never left out, nor one whose text has changed; nothing is lost to a stale replay. A
repaired row that is refused again goes into quarantine under the name of the replay, and can be replaced.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import duckdb

from features.errors import BadInputError
from features.schema import EXTRA, FILE, LANDING_DAY, LINE, RAW, RULE

PREFIX: Final = "zz-replay-"
"""Sorts behind what producers deliver: among equal keys the row that was right at once is kept."""
REPLACES: Final = "replaces"


def is_replay(name: str) -> bool:
    """Whether the landing file ``<table>/<day>/<file>`` is a replay."""
    return name.rpartition("/")[2].startswith(PREFIX)


def drop_replaced(connection: duckdb.DuckDBPyConnection, table: str, day: str) -> int:
    """Delete the refused rows of a landing day that its replays stand for; returns how many.

    Args:
        connection: holds ``<table>_rows``, all typed rows of the landing day.
    """
    fields = ", ".join(
        f"json_extract_string({EXTRA}, '$.{REPLACES}.{name}') AS {name}" for name in (FILE, LINE, "md5")
    )
    found = connection.execute(
        f"""
        DELETE FROM {table}_rows AS refused USING (
            SELECT DISTINCT {fields} FROM {table}_rows
            WHERE {LANDING_DAY} = $day AND starts_with({FILE}, $replays)) AS replay
        WHERE refused.{LANDING_DAY} = $day AND refused.{RULE} IS NOT NULL AND refused.{FILE} = replay.{FILE}
              AND refused.{LINE} = TRY_CAST(replay.{LINE} AS BIGINT) AND md5(refused.{RAW}) = replay.md5
        """,
        {"day": day, "replays": f"{table}/{day}/{PREFIX}"},
    ).fetchall()
    return int(found[0][0])


def reference(file: str, line: int, raw: str) -> dict[str, Any]:
    """What a repaired row carries to name the refused one."""
    return {FILE: file, LINE: line, "md5": hashlib.md5(raw.encode(), usedforsecurity=False).hexdigest()}


def replay_lines(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> bytes:
    """Repaired rows with their references, as JSONL.

    Raises:
        BadInputError: a row has a column ``extra`` that is no object.
    """
    lines = []
    for row, replaces in rows:
        extra = row.get(EXTRA) or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        if not isinstance(extra, dict):
            raise BadInputError(f"{EXTRA} of {row} must be a JSON object")
        known = {name: value for name, value in row.items() if name != EXTRA}
        lines.append(json.dumps({**extra, **known, REPLACES: dict(replaces)}, sort_keys=True))
    return "".join(f"{line}\n" for line in sorted(lines)).encode()


def replay_name(table: str, day: str, lines: bytes) -> str:
    """``<table>/<day>/<file>`` of the replay with these lines."""
    return f"{table}/{day}/{PREFIX}{hashlib.sha256(lines).hexdigest()[:12]}.jsonl"
