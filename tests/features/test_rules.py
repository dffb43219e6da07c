"""What a text value becomes, and which rule it breaks, however it is written."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from features.days import end_of
from features.lake import connect
from features.rules import judged_sql
from features.schema import SCHEMAS, WATCHES

NO_INTEGER = "user_id is not an integer of 64 bits"
NO_TIME = "event_time is not a time with UTC offset"
NO_FLAG = "liked is not true or false"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

VALUES: list[tuple[str, str | None, object, str | None]] = [
    ("user_id", "12", 12, None),
    ("user_id", "012", 12, None),  # not as a machine writes it, and still a number
    ("user_id", "12.0", 12, None),
    ("user_id", "-0", 0, None),
    ("user_id", "-12", -12, "user_id is negative"),
    ("user_id", "1.5", None, NO_INTEGER),
    ("user_id", "1e3", None, NO_INTEGER),
    ("user_id", "+5", None, NO_INTEGER),
    ("user_id", " 5", None, NO_INTEGER),
    ("user_id", "1_000", None, NO_INTEGER),
    ("user_id", "9223372036854775807", 2**63 - 1, None),
    ("user_id", "9223372036854775808", None, NO_INTEGER),
    ("user_id", "", None, "user_id is missing"),
    ("user_id", None, None, "user_id is missing"),
    ("interest", "2147483648", None, "interest is not an integer of 32 bits"),
    ("interest", "3", 3, None),
    ("event_id", "e" * 300, "e" * 300, None),
    ("event_id", "", "", "event_id is missing"),
    ("event_time", "2026-03-02T12:00:00+00:00", NOON, None),
    ("event_time", "2026-03-02T20:00:00+08:00", NOON, None),
    ("event_time", "2026-03-02 12:00:00Z", NOON, None),
    ("event_time", "2026-03-02 12:00:00+00", NOON, None),
    ("event_time", "2026-03-02T12:00+00:00", NOON, None),
    ("event_time", "2026-03-02T12:00:00", None, NO_TIME),
    ("event_time", "2026-03-02", None, NO_TIME),
    ("event_time", "2026-03-02T12:00:00 noon +00:00", None, NO_TIME),
    ("event_time", "1999-12-31T23:59:59Z", datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), "before"),
    ("event_time", "2026-03-03T00:00:00Z", datetime(2026, 3, 3, tzinfo=UTC), "clock ahead"),
    ("watch_seconds", "86400", 86400.0, None),
    ("watch_seconds", "86400.5", 86400.5, "watch_seconds is longer than a day"),
    ("watch_seconds", "1e2", 100.0, None),
    ("watch_seconds", "-1", -1.0, "watch_seconds is negative"),
    ("watch_seconds", "NaN", None, "watch_seconds is not a finite number"),
    ("liked", "true", True, None),
    ("liked", "false", False, None),
    ("liked", "True", True, None),
    ("liked", "0", False, None),
    ("liked", "1.0", True, None),
    ("liked", "2", None, NO_FLAG),
    ("liked", "yes", None, NO_FLAG),
    ("liked", "", None, NO_FLAG),
    ("liked", None, None, None),
    ("device", "d" * 256, "d" * 256, None),
    ("device", "d" * 257, "d" * 257, "device is longer than 256 characters"),
    ("device", "\u00e9" * 256, "\u00e9" * 256, None),  # characters, not bytes
    ("extra", "x" * 300, "x" * 300, None),
]


@pytest.mark.parametrize(
    ("column", "text", "value", "rule"), VALUES, ids=[str(i) for i in range(len(VALUES))]
)
def test_a_value_has_one_meaning(column: str, text: str | None, value: object, rule: str | None) -> None:
    row = {
        "event_id": "e",
        "user_id": "1",
        "video_id": "2",
        "event_time": "2026-03-02T12:00:00+00:00",
        column: text,
    }
    names = [*SCHEMAS[WATCHES].names, "problem"]
    connection = connect()
    connection.register(
        "rows", pa.table({name: pa.array([row.get(name)] * 2, pa.string()) for name in names})
    )
    found = connection.sql(judged_sql(WATCHES, end_of("2026-03-02"), "rows"))
    [judged, again] = found.project(f"{column}, rule").fetchall()
    assert judged == again
    assert judged[0] == value
    assert judged[1] == rule if rule is None else rule in judged[1]


def test_types_are_those_of_the_table() -> None:
    connection = connect()
    names = [*SCHEMAS[WATCHES].names, "problem", "line"]
    connection.register("rows", pa.table({name: pa.array([], pa.string()) for name in names}))
    found = connection.sql(judged_sql(WATCHES, end_of("2026-03-02"), "rows")).to_arrow_table().schema
    assert found.names == ["line", *SCHEMAS[WATCHES].names, "rule"]
    assert {field.name: found.field(field.name).type for field in SCHEMAS[WATCHES]} == {
        field.name: field.type for field in SCHEMAS[WATCHES]
    }
