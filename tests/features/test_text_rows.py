"""Landing rows as text, from every format, whatever is broken in them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.errors import BadInputError
from features.lake import connect
from features.landing import LandingFile
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.text_rows import text_rows
from tests.features.landing_rows import DAY, land, video, watch

HEADER = b"event_id,user_id,video_id,event_time,scene"


def read(settings: Settings, path: Path, columns: str, table: str = WATCHES) -> list[tuple]:
    file = LandingFile(str(path.relative_to(settings.landing)), path, "stamp")
    return text_rows(connect(), table, file).project(columns).fetchall()


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
    zstd = csv.with_name("e.csv.zst")
    with pa.output_stream(zstd, compression="zstd") as stream:
        stream.write(csv.read_bytes())
    columns = "event_id, user_id, video_id, event_time, watch_seconds, liked, disliked, problem"
    expected = [("a", "0", "7", "2026-03-02T12:00:00+00:00", "5.0", "true", None, None)]
    for path in (jsonl, packed, csv, parquet, zstd):
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


def test_columns_that_nobody_knows_are_kept_as_one_object(settings: Settings) -> None:
    odd = {"mood": {"name": "it's fine", "score": None}, "landing_day": "2020-01-01"}
    jsonl = land(settings, WATCHES, [watch("a"), watch("b", **odd)])
    assert read(settings, jsonl, "event_id, extra") == [
        ("a", None),
        ("b", '{"mood":{"name":"it\'s fine","score":null}}'),
    ]
    rows = [HEADER + b",mood,it's", b"a,1,2,t,home,good,", b"b,1,2,t,home,bad,x"]
    csv = land(settings, WATCHES, rows, name="b.csv")
    assert read(settings, csv, "extra") == [
        ('{"mood":"good","it\'s":null}',),
        ('{"mood":"bad","it\'s":"x"}',),
    ]
    parquet = csv.with_name("c.parquet")
    pq.write_table(pa.Table.from_pylist([video(3, **{'a "b"': [1, 2]})]), parquet)
    assert read(settings, parquet, "video_id, extra", VIDEOS) == [("3", '{"a \\"b\\"":[1,2]}')]


def test_a_known_file_has_no_extra(settings: Settings) -> None:
    path = land(settings, WATCHES, [HEADER, b"a,1,2,t,home"], name="a.csv")
    assert read(settings, path, "extra") == [(None,)]


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("user_id", [[1]], "list"),
        ("user_id", [True], "bool"),
        ("watch_seconds", [b"5"], "binary"),
        ("event_time", [5], "int64"),
        ("liked", [{"yes": 1}], "struct"),
    ],
)
def test_a_type_that_cannot_be_meant_is_refused(
    settings: Settings, column: str, values: list[object], found: str
) -> None:
    path = land(settings, WATCHES, []).with_name("a.parquet")
    table = pa.Table.from_pylist([watch("a", liked=True)])
    pq.write_table(table.drop([column]).append_column(column, pa.array(values)), path)
    with pytest.raises(BadInputError, match=rf"column {column} is {found}.*its writer changed the type"):
        read(settings, path, "line")


def test_times_without_zone_are_refused_and_numbers_may_be_of_any_kind(settings: Settings) -> None:
    path = land(settings, WATCHES, []).with_name("a.parquet")
    row = watch("a")
    table = pa.Table.from_pylist([row]).set_column(1, "user_id", pa.array([1.0]))
    pq.write_table(table, path)
    assert read(settings, path, "user_id") == [("1.0",)]
    times = pc.cast(pa.array(["2026-03-02T12:00:00"]), pa.timestamp("us"))
    pq.write_table(table.drop(["event_time"]).append_column("event_time", times), path)
    with pytest.raises(BadInputError, match=r"event_time is timestamp\[us\]"):
        read(settings, path, "line")


def test_a_column_named_twice_is_refused(settings: Settings) -> None:
    path = land(settings, WATCHES, [HEADER + b",scene", b"a,1,2,t,x,y"], name="a.csv")
    with pytest.raises(BadInputError, match="names a column twice"):
        read(settings, path, "line")
