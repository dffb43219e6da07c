from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInputError
from features.lake import connect
from features.landing import landing_files, text_rows
from features.schema import USERS, WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY, land, watch

HEADER = b"event_id,user_id,video_id,event_time,scene"


def read(settings: Settings, path: Path, columns: str, table: str = WATCHES) -> list[tuple]:
    return text_rows(connect(), table, path, settings).project(columns).fetchall()


def test_every_format_gives_the_same_text(settings: Settings) -> None:
    jsonl = land(settings, WATCHES, [watch("a", user_id=0, liked=True)], name="a.jsonl")
    packed = land(settings, WATCHES, [watch("a", user_id=0, liked=True)], name="b.jsonl.gz")
    csv = land(
        settings,
        WATCHES,
        [
            b"liked,event_id,user_id,video_id,event_time,watch_seconds",
            b"true,a,0,7,2026-03-02T12:00:00+00:00,5.0",
        ],
        name="c.csv",
    )
    parquet = csv.with_name("d.parquet")
    pq.write_table(pa.Table.from_pylist([watch("a", user_id=0, liked=True)]), parquet)
    columns = "event_id, user_id, video_id, event_time, watch_seconds, liked, disliked, problem"
    expected = [("a", "0", "7", "2026-03-02T12:00:00+00:00", "5.0", "true", None, None)]
    for path in (jsonl, packed, csv, parquet):
        assert read(settings, path, columns) == expected, path.name


def test_rows_know_their_file_and_line_and_blank_lines_are_no_rows(settings: Settings) -> None:
    path = land(settings, WATCHES, [watch("a"), b"", b"  ", watch("b")])
    assert read(settings, path, "file, line") == [
        (f"watches/{DAY}/a.jsonl", 1),
        (f"watches/{DAY}/a.jsonl", 4),
    ]


def test_quoted_csv_fields_may_hold_commas_and_quotes(settings: Settings) -> None:
    rows = [HEADER, b'a,1,2,t,"home, ""main"""\r', b"b,1,2,t,plain"]
    path = land(settings, WATCHES, rows, name="a.csv")
    assert read(settings, path, "line, scene, problem") == [(2, 'home, "main"', None), (3, "plain", None)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"a,1,2", "not 5 columns"),
        (b"a,1,2,t,x,y", "not 5 columns"),
        (b'a,1,2,t,"x', "quotes are not balanced"),
        (b"a,1,2,t,\xff", "not UTF-8"),
    ],
)
def test_a_broken_csv_line_is_one_bad_row(settings: Settings, line: bytes, problem: str) -> None:
    path = land(settings, WATCHES, [HEADER, line, b"b,1,2,t,x"], name="a.csv")
    assert read(settings, path, "line, problem") == [(2, problem), (3, None)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [(b'{"event_id": "a"', "not JSON"), (b"[1]", "not a JSON object"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_broken_json_line_is_one_bad_row(settings: Settings, line: bytes, problem: str) -> None:
    path = land(settings, WATCHES, [line, watch("b")])
    assert read(settings, path, "line, problem") == [(1, problem), (2, None)]


def test_raw_text_is_kept_as_it_came(settings: Settings) -> None:
    path = land(settings, WATCHES, [b'{"event_id": 1,  "odd": "x"}'])
    assert read(settings, path, "raw") == [('{"event_id": 1,  "odd": "x"}',)]


def test_lists_survive_commas_and_brackets(settings: Settings) -> None:
    profile = ["fans_range=[100,1k)", "a=b"]
    path = settings.landing / "users" / DAY / "a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([{"user_id": 1, "profile": profile}]), path)
    assert read(settings, path, "profile", USERS) == [('["fans_range=[100,1k)","a=b"]',)]


def test_a_missing_column_is_named(settings: Settings) -> None:
    path = land(settings, WATCHES, [b"event_id,user_id,event_time", b"a,1,t"], name="a.csv")
    with pytest.raises(BadInputError, match=r"a\.csv has no column video_id"):
        read(settings, path, "line")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.parquet", b"PAR1 no"), ("a.csv", b""), ("a.csv.gz", b"no gzip")],
)
def test_an_unreadable_file_is_named(settings: Settings, name: str, content: bytes) -> None:
    path = land(settings, WATCHES, [], name="placeholder.jsonl").with_name(name)
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=name):
        read(settings, path, "line")


def test_files_being_written_are_ignored_and_strangers_refused(settings: Settings) -> None:
    path = land(settings, WATCHES, [watch("a")])
    path.with_name(".b.jsonl.tmp").write_text("half")
    assert landing_files(settings, WATCHES, DAY) == [path]
    path.with_name("b.xlsx").write_text("")
    with pytest.raises(BadInputError, match=r"b\.xlsx"):
        landing_files(settings, WATCHES, DAY)
