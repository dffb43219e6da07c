"""Kinds of broken input, and what becomes of each: rows, files and whole days that a careless producer sends.

``python -m tests.features.malformed`` runs all of them and prints the table of docs/malformed_input.md.
"""

import gzip
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from features.errors import BadInputError, InvalidDataError
from features.ingest import ingest, stage
from features.lake import Lake
from features.schema import EVENT_DAY, EVENT_ID, EXTRA, USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.stage import Stage
from tests.features.landing_rows import DAY, land, land_day, user, video, watch

PAGE: Final = Path("docs/malformed_input.md")
GOOD: Final = [watch(f"good{hour}", hour=hour) for hour in range(24)]
CSV: Final = b"event_id,user_id,video_id,event_time,scene"


@dataclass(frozen=True)
class Kind:
    """One way to be broken."""

    name: str
    break_it: Callable[[Settings], object]
    """Adds what is broken to a landing day of 24 good watches."""
    outcome: str
    told: str
    """What the user reads: the rule in quarantine, the count, or the error."""


def row(name: str, broken: object, rule: str, table: str = WATCHES) -> Kind:
    """One line of a file among good ones."""
    return Kind(name, lambda settings: land(settings, table, [broken], name="b.jsonl"), QUARANTINED, rule)


def csv_row(name: str, broken: bytes, rule: str) -> Kind:
    """One line of a CSV file."""
    return Kind(
        name, lambda settings: land(settings, WATCHES, [CSV, broken], name="b.csv"), QUARANTINED, rule
    )


def file(name: str, file_name: str, content: bytes, error: str) -> Kind:
    """A file that cannot be read as a whole."""

    def write(settings: Settings) -> None:
        land(settings, WATCHES, [], name=file_name).write_bytes(content)

    return Kind(name, write, FILE_REFUSED, error)


def column(name: str, changed: str, values: pa.Array, error: str) -> Kind:
    """A Parquet file whose column has another type."""

    def write(settings: Settings) -> None:
        rows = pa.Table.from_pylist([watch("x", liked=True)]).drop([changed])
        path = land(settings, WATCHES, [], name="placeholder.jsonl").with_name("b.parquet")
        pq.write_table(rows.append_column(changed, values), path)

    return Kind(name, write, FILE_REFUSED, error)


def tolerated(name: str, rows: list[object], told: str, file_name: str = "b.jsonl") -> Kind:
    """Odd, but its meaning is clear."""
    return Kind(name, lambda settings: land(settings, WATCHES, rows, name=file_name), TOLERATED, told)


def day(name: str, rows: list[object], told: str, table: str = WATCHES) -> Kind:
    """Rows that are right one by one, and wrong together."""
    return Kind(name, lambda settings: land(settings, table, rows), DAY_REFUSED, told)


QUARANTINED, FILE_REFUSED, DAY_REFUSED, TOLERATED = (
    "row in quarantine, the others kept",
    "ingest stops, nothing changes",
    "validation stops the day, nothing changes",
    "kept",
)
_TIME: Final = "event_time is not a time with UTC offset"
_PACKED: Final = gzip.compress(b"".join(json.dumps(good).encode() + b"\n" for good in GOOD))

KINDS: Final = [
    row("JSON cut off", b'{"event_id": "x", ', "not JSON"),
    row("plain text", b"plain text", "not JSON"),
    row("two objects on one line", b'{"event_id": "x"} {"event_id": "y"}', "not JSON"),
    row("a number", b"42", "not a JSON object"),
    row("a list", b'["x", 1, 2]', "not a JSON object"),
    row("null", b"null", "not a JSON object"),
    row("bytes that are no UTF-8", b"\xc3\x28", "not UTF-8"),
    row("UTF-16", '{"event_id": "x"}'.encode("utf-16-le"), "not JSON"),
    row("an empty object", b"{}", "event_id is missing"),
    row("empty event id", watch(""), "event_id is missing"),
    row(
        "no event id", {"user_id": 1, "video_id": 2, "event_time": f"{DAY}T00:00:00Z"}, "event_id is missing"
    ),
    row("null user", watch("x", user_id=None), "user_id is missing"),
    row("words for an id", watch("x", user_id="abc"), "user_id is not an integer of 64 bits"),
    row("fraction for an id", watch("x", user_id=1.5), "user_id is not an integer of 64 bits"),
    row("id too large", watch("x", user_id=2**63), "user_id is not an integer of 64 bits"),
    row("negative id", watch("x", user_id=-1), "user_id is negative"),
    row("object for an id", watch("x", video_id={"id": 3}), "video_id is not an integer of 64 bits"),
    row("no time", watch("x", event_time=None), "event_time is missing"),
    row("words for a time", watch("x", event_time="yesterday"), _TIME),
    row("bare day", watch("x", event_time=DAY), _TIME),
    row("time without zone", watch("x", event_time=f"{DAY}T12:00:00"), _TIME),
    row("13th month", watch("x", event_time="2026-13-45T12:00:00Z"), _TIME),
    row("Unix seconds", watch("x", event_time=1772452800), _TIME),
    row("clock at zero", watch("x", event_time="1970-01-01T00:00:00Z"), "event_time is before 2000-01-01"),
    row(
        "clock ahead",
        watch("x", event_time="2026-03-03T00:00:00Z"),
        "event_time lies after its landing day: clock ahead",
    ),
    row("words for seconds", watch("x", watch_seconds="long"), "watch_seconds is not a finite number"),
    row("NaN", watch("x", watch_seconds="NaN"), "watch_seconds is not a finite number"),
    row("infinity", watch("x", watch_seconds="inf"), "watch_seconds is not a finite number"),
    row("negative seconds", watch("x", watch_seconds=-0.5), "watch_seconds is negative"),
    row("milliseconds for seconds", watch("x", watch_seconds=90_000), "watch_seconds is longer than a day"),
    row("words for a flag", watch("x", long_watch="maybe"), "long_watch is not true or false"),
    row("number for a flag", watch("x", liked=2), "liked is not true or false"),
    row("words for an interest", watch("x", interest="third"), "interest is not an integer of 32 bits"),
    row("endless device name", watch("x", device="d" * 257), "device is longer than 256 characters"),
    row("video without uploader", video(11, uploader_id=None), "uploader_id is missing", VIDEOS),
    row("tags as text", video(11, tag_ids="a,b"), "tag_ids is not a list of integers", VIDEOS),
    row("a tag that is null", video(11, tag_ids=[1, None]), "tag_ids is not a list of integers", VIDEOS),
    row("negative duration", video(11, duration_seconds=-1), "duration_seconds is negative", VIDEOS),
    row("profile as text", user(11, profile="old"), "profile is not a list of texts", USERS),
    csv_row("CSV: too few fields", b"x,1,2", "not 5 columns"),
    csv_row("CSV: too many fields", b"x,1,2,t,home,more", "not 5 columns"),
    csv_row("CSV: quotes not balanced", b'x,1,2,t,"home', "quotes are not balanced"),
    file("gzip cut off", "b.jsonl.gz", _PACKED[:-20], "cannot be read to its end"),
    file("no gzip at all", "b.jsonl.gz", b"plain", "cannot be read to its end"),
    file("no zstd at all", "b.csv.zst", b"plain", "cannot be read to its end"),
    file("no Parquet at all", "b.parquet", b"PAR1 no", "is not a Parquet file"),
    file("empty CSV", "b.csv", b"", "is empty; a CSV file starts with a line of column names"),
    file("CSV without a column", "b.csv", b"event_id,user_id,event_time\na,1,t\n", "has no column video_id"),
    file("a column twice", "b.csv", CSV + b",scene\n", "names a column twice in its first line"),
    file("unknown ending", "b.xlsx", b"PK", "is none of .jsonl, .csv, .parquet"),
    column(
        "list for an id", "user_id", pa.array([[1]]), "cannot be read as int64; its writer changed the type"
    ),
    column(
        "bool for an id", "user_id", pa.array([True]), "cannot be read as int64; its writer changed the type"
    ),
    column("bytes for a number", "watch_seconds", pa.array([b"5"]), "cannot be read as double"),
    column("number for a time", "event_time", pa.array([5]), "cannot be read as timestamp[us, tz=UTC]"),
    column("struct for a flag", "liked", pa.array([{"yes": 1}]), "cannot be read as bool"),
    Kind(
        "no files of watches",
        lambda settings: (settings.landing / WATCHES / DAY / "a.jsonl").unlink(),
        FILE_REFUSED,
        "holds no files; land the watches of 2026-03-02 there first",
    ),
    day("videos that nobody knows", [watch("x", video_id=404, hour=23)], "watches.known_videos"),
    day("half of a day", GOOD[:12], "watches.freshness"),
    day("more rubbish than rows", [*GOOD[-1:], b"1", b"2"], "watches.quarantined"),
    tolerated("the same event twice", GOOD[:3], "3 duplicates"),
    tolerated("blank lines", [b"", watch("x"), b"   "], "1 row more"),
    tolerated(
        "Windows line ends", [CSV + b"\r", f"x,1,2,{DAY}T12:00:00Z,home\r".encode()], "1 row more", "b.csv"
    ),
    tolerated(
        "byte order mark", [b"\xef\xbb\xbf" + CSV, f"x,1,2,{DAY}T12:00:00Z,a".encode()], "1 row more", "b.csv"
    ),
    tolerated("columns in another order", [dict(reversed(watch("x").items()))], "1 row more"),
    tolerated("a column nobody knows", [watch("x", mood="good")], "1 row more, the column in `extra`"),
    tolerated("numbers as text", [watch("x", user_id="1", watch_seconds="5")], "1 row more"),
    tolerated("integers as 12.0", [watch("x", user_id=1.0)], "1 row more"),
    tolerated("flags as 0, 1, T, False", [watch("x", liked=1, shared="T", followed="False")], "1 row more"),
    tolerated("times of another zone", [watch("x", event_time=f"{DAY}T20:00:00+08:00")], "1 row more"),
    tolerated("a late event", [watch("x", event_time="2026-03-01T12:00:00Z")], "1 row more, on its own day"),
    tolerated("an empty file", [], "0 rows more"),
    tolerated("a file still being written", [watch("x")], "0 rows more", ".b.jsonl"),
]


def what_happens(kind: Kind, settings: Settings) -> tuple[str, str]:
    """Land it, ingest the day, and say the outcome and what the user is told, in the words of ``KINDS``."""
    land_day(settings, GOOD)
    kind.break_it(settings)
    try:
        if kind.outcome == QUARANTINED:  # of single rows staging decides; a day may hold so and so many
            return QUARANTINED, _only_rule(Path(stage([DAY], settings=settings)))
        counts = ingest([DAY], settings=settings).counts
    except (BadInputError, InvalidDataError) as error:
        assert not Lake(settings).has(WATCHES)
        return FILE_REFUSED if isinstance(error, BadInputError) else DAY_REFUSED, str(error)
    assert sum(count.quarantined for count in counts) == 0
    return TOLERATED, _tolerated(settings, sum(count.duplicate for count in counts))


def _only_rule(folder: Path) -> str:
    counts = [count for count in Stage.open(folder).counts if count.quarantined]
    assert [count.quarantined for count in counts] == [1]
    assert all(count.balanced for count in Stage.open(folder).counts)
    [rule] = counts[0].rules
    return rule


def _tolerated(settings: Settings, duplicates: int) -> str:
    if duplicates:
        return f"{duplicates} duplicates"
    rows = Lake(settings).read_days(WATCHES).to_pylist()
    added = [row for row in rows if not row[EVENT_ID].startswith("good")]
    where = ", on its own day" if any(row[EVENT_DAY] != DAY for row in added) else ""
    extra = ", the column in `extra`" if any(row[EXTRA] for row in added) else ""
    return f"{len(added)} row{'s' if len(added) != 1 else ''} more{extra}{where}"


def table_of_kinds() -> str:
    """The table of the page, from real runs."""
    lines = ["| Input | What happens | What you read |", "|---|---|---|"]
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as home:
            outcome, told = what_happens(kind, Settings(home=Path(home)))
        assert outcome == kind.outcome, (kind.name, told)
        assert kind.told in told, (kind.name, told)
        lines.append(f"| {kind.name} | {outcome} | {kind.told} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sys.stdout.write(table_of_kinds())
