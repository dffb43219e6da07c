"""Landing files are whole, repeatable, and say unknown where a value is unknown."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from features import schema
from features.sources.landing_writer import csv_lines, jsonl_lines, write_lines

ROWS = pa.table(
    {
        schema.USER_ID: pa.array([0, 12]),
        schema.EVENT_TIME: pa.array(
            [datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=UTC)],
            schema.TIMESTAMP,
        ),
        schema.WATCH_SECONDS: pa.array([2.5, None]),
        schema.LONG_WATCH: pa.array([True, None]),
        schema.SCENE: pa.array(["feed", None]),
    }
)


def test_a_json_line_holds_typed_values_and_null_for_unknown() -> None:
    assert jsonl_lines(ROWS).to_pylist() == [
        '{"user_id":0,"event_time":"2026-11-20T12:00:00.000000Z","watch_seconds":2.5,"long_watch":true,"scene":"feed"}\n',
        '{"user_id":12,"event_time":"2026-11-20T12:00:00.000005Z","watch_seconds":null,"long_watch":null,"scene":null}\n',
    ]


def test_a_csv_line_leaves_unknown_values_empty() -> None:
    assert csv_lines(ROWS).to_pylist() == [
        "0,2026-11-20T12:00:00.000000Z,2.5,true,feed\n",
        "12,2026-11-20T12:00:00.000005Z,,,\n",
    ]


@pytest.mark.parametrize(("low", "high"), [(0, 3), (1, 3), (1, 1), (2, 3)])
def test_a_slice_of_lines_is_written_alone(tmp_path: Path, low: int, high: int) -> None:
    lines = ["a\n", "bee\n", "c\n"]
    write_lines(tmp_path / "day" / "part.csv", pa.array(lines).slice(low, high - low), header="name")
    assert (tmp_path / "day" / "part.csv").read_text() == "name\n" + "".join(lines[low:high])


def test_the_same_lines_give_the_same_gzip_bytes_and_no_draft_is_left(tmp_path: Path) -> None:
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        write_lines(tmp_path / name, jsonl_lines(ROWS))
    one, two = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert one == two
    assert one[4:8] == b"\0\0\0\0", "bytes 4 to 7 of a gzip file are its time"
    assert gzip.decompress(one).count(b"\n") == 2
    assert len(list(tmp_path.iterdir())) == 2
