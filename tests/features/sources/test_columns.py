"""Import by column map: every conversion, no row lost, ids that stay, and what ingest makes of it."""

import gzip
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInputError
from features.ingest import stage
from features.settings import Settings
from features.sources.column_map import parse_column_map
from features.sources.columns import ImportReport, import_columns
from features.stage import Stage
from tests.features.sources.landed import landed_files, landed_rows

NOON_MS = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
MAP = """
source = "app"
text_ids = true
[watches]
files = "plays*.csv"
[watches.columns]
user_id = "uid"
video_id = "clip"
event_time = { column = "ts", unit = "ms" }
watch_seconds = { column = "played", unit = "ms" }
liked = { column = "action", one_of = ["like", "superlike"] }
scene = { constant = "feed" }
[videos]
files = "videos.csv"
[videos.columns]
video_id = "clip"
uploader_id = "by"
tag_ids = { column = "topics", separator = "|" }
"""
PLAYS = f"""uid,clip,ts,played,action
zoe,v7,{NOON_MS},61802,superlike
ann,v9,{NOON_MS + 1},,skip
zoe,v9,{NOON_MS + DAY_MS},5,
"""
VIDEOS = """clip,by,topics
v9,chef,food| travel |food
v7,coach,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small log with text ids."""
    source = tmp_path / "log"
    source.mkdir()
    (source / "plays.csv").write_text(PLAYS)
    (source / "videos.csv").write_text(VIDEOS)
    return source


def _import(path: Path, text: str = MAP) -> tuple[Settings, ImportReport]:
    home = path.parent / "home" if path.is_dir() else path.parent.parent / "home"
    settings = Settings(home=home)
    return settings, import_columns(path, parse_column_map(text, "map.toml"), settings)


def _known(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_rows_land_on_their_day_with_numbers_for_texts(folder: Path) -> None:
    settings, report = _import(folder)
    assert report.files == {"plays.csv": 3, "videos.csv": 2}
    assert report.days == {"watches": {"2026-03-02": 2, "2026-03-03": 1}, "videos": {"2026-03-02": 2}}
    assert _known(landed_rows(settings, "watches")) == [
        {
            "event_id": md5(b"zoe-v7-2026-03-02T12:00:00.000000Z").hexdigest(),
            "user_id": "0",
            "video_id": "0",
            "event_time": "2026-03-02T12:00:00.000000Z",
            "watch_seconds": "61.802",
            "liked": "true",
            "scene": "feed",
        },
        {
            "event_id": md5(b"ann-v9-2026-03-02T12:00:00.001000Z").hexdigest(),
            "user_id": "1",
            "video_id": "1",
            "event_time": "2026-03-02T12:00:00.001000Z",
            "liked": "false",
            "scene": "feed",
        },
        {
            "event_id": md5(b"zoe-v9-2026-03-03T12:00:00.000000Z").hexdigest(),
            "user_id": "0",
            "video_id": "1",
            "event_time": "2026-03-03T12:00:00.000000Z",
            "watch_seconds": "0.005",
            "scene": "feed",
        },
    ]
    assert _known(landed_rows(settings, "videos")) == [
        {"video_id": "1", "uploader_id": "0", "tag_ids": "[0,1,0]", "is_online": "true"},
        {"video_id": "0", "uploader_id": "1", "is_online": "true"},
    ]


def test_a_second_import_changes_no_byte(folder: Path) -> None:
    settings, _ = _import(folder)
    before = landed_files(settings)
    _import(folder)
    assert landed_files(settings) == before


def test_ids_stay_when_a_later_file_brings_new_ones(folder: Path) -> None:
    settings, _ = _import(folder)
    (folder / "plays.csv").write_text(
        f"uid,clip,ts,played,action\nbob,v1,{NOON_MS},1,\nann,v9,{NOON_MS},1,\n"
    )
    _import(folder)
    ids = {row["user_id"]: row["video_id"] for row in landed_rows(settings, "watches")}
    assert ids == {"0": "1", "1": "1", "2": "2"}, "bob is 2 and v1 is 2; zoe, ann, v7 and v9 keep theirs"


def test_a_changed_file_takes_no_row_away(folder: Path) -> None:
    settings, _ = _import(folder)
    (folder / "plays.csv").write_text(f"uid,clip,ts,played,action\nbob,v1,{NOON_MS},1,\n")
    _import(folder)
    assert len(landed_rows(settings, "watches", "2026-03-02")) == 2 + 1


def test_the_same_file_under_a_mended_map_replaces_what_it_brought(folder: Path) -> None:
    (folder / "plays.csv").write_text("uid,clip,ts,played,action\nzoe,v7,2026-03-02 02:00:00,1,\n")
    wrong = MAP.replace('unit = "ms" }', 'timezone = "Asia/Shanghai" }', 1)
    settings, report = _import(folder, wrong)
    assert report.days["watches"] == {"2026-03-01": 1}
    _, report = _import(folder, wrong.replace("Asia/Shanghai", "UTC"))
    assert report.days["watches"] == {"2026-03-02": 1}
    assert len(landed_rows(settings, "watches")) == 1


TIMES = {
    '{ column = "t", unit = "s" }': ("1772452800.25", "2026-03-02T12:00:00.250000Z"),
    '{ column = "t", unit = "ms" }': ("1772452800250", "2026-03-02T12:00:00.250000Z"),
    '{ column = "t", unit = "us" }': ("1772452800250001", "2026-03-02T12:00:00.250001Z"),
    '{ column = "t", unit = "ns" }': ("1772452800250001999", "2026-03-02T12:00:00.250001Z"),
    '"t"': ("2026-03-02T14:00:00+02:00", "2026-03-02T12:00:00.000000Z"),
    '{ column = "t", unit = "iso" }': ("2026-03-02 12:00:00Z", "2026-03-02T12:00:00.000000Z"),
    '{ column = "t", timezone = "Asia/Shanghai" }': ("2026-03-02 20:00:00", "2026-03-02T12:00:00.000000Z"),
    '{ column = "t", unit = "iso", timezone = "Asia/Shanghai" }': (
        "2026-03-03",  # a day is no time with offset -03: it begins at 16:00 UTC of the day before
        "2026-03-02T16:00:00.000000Z",
    ),
    '{ column = "t", format = "%d.%m.%Y %H:%M", timezone = "UTC" }': (
        "02.03.2026 12:00",
        "2026-03-02T12:00:00.000000Z",
    ),
}


@pytest.mark.parametrize(("rule", "value", "landed"), [(rule, *pair) for rule, pair in TIMES.items()])
def test_a_time_in_any_unit_lands_in_utc(tmp_path: Path, rule: str, value: str, landed: str) -> None:
    text = f'source = "a"\n[watches.columns]\nuser_id = "u"\nvideo_id = "v"\nevent_time = {rule}'
    settings, report = _import_one(tmp_path, f"u,v,t\n1,2,{value}\n", text)
    [row] = landed_rows(settings, "watches")
    assert row["event_time"] == landed
    assert report.days == {"watches": {"2026-03-02": 1}}


def _import_one(tmp_path: Path, content: str, text: str) -> tuple[Settings, ImportReport]:
    (tmp_path / "log").mkdir()
    path = tmp_path / "log" / "one.csv"
    path.write_text(content)
    return _import(path, text)


@pytest.mark.parametrize(
    ("column", "rule", "value", "landed"),
    [
        ("watch_seconds", '"x"', "2.5", "2.5"),
        ("watch_seconds", '{ column = "x", unit = "min" }', "1.5", "90.0"),
        ("watch_seconds", '{ column = "x", unit = "us" }', "2500000", "2.5"),
        ("watch_seconds", '{ column = "x", unit = "ms", times = "d" }', "1.5", "6.0"),  # of d = 4000 ms
        ("watch_seconds", '{ column = "x", unit = "ms" }', "much", "much"),
        ("watch_seconds", '{ column = "x", default = 0 }', "", "0"),
        ("long_watch", '{ column = "x", at_least = 4 }', "4.0", "true"),
        ("long_watch", '{ column = "x", at_least = 4 }', "3.5", "false"),
        ("long_watch", '{ column = "x", at_least = 4 }', "good", "good"),
        ("long_watch", '{ column = "x", at_least = 4 }', "nan", "nan"),
        ("long_watch", '{ column = "x", at_least = 4 }', "", None),
        ("liked", '"x"', "1", "1"),
        ("liked", '{ column = "x", one_of = "y" }', "y", "true"),
        ("liked", '{ column = "x", one_of = "y" }', "", None),
        ("liked", "{ constant = true }", "", "true"),
        ("device", '"x"', "it's", "it's"),
        ("device", '"x"', "UNKNOWN", None),
        ("event_id", '"x"', "e-1", "e-1"),
        ("interest", "{ constant = 3 }", "", "3"),
    ],
)
def test_a_value_is_converted_where_it_can_be(
    tmp_path: Path, column: str, rule: str, value: str, landed: str | None
) -> None:
    text = f"""
        source = "a"
        [watches]
        unknown = ["UNKNOWN"]
        [watches.columns]
        user_id = "u"
        video_id = "v"
        event_time = {{ column = "t", unit = "ms" }}
        {column} = {rule}
    """
    settings, _ = _import_one(tmp_path, f"u,v,t,d,x\n1,2,{NOON_MS},4000,{value}\n", text)
    [row] = landed_rows(settings, "watches")
    assert row[column] == landed


USERS_MAP = """
source = "a"
[users]
snapshot_day = 2026-03-05
[users.columns]
user_id = "id"
profile = { tokens = ["gender", "is_*"] }
registered_at = { column = "since", timezone = "UTC" }
"""


def test_a_profile_names_the_columns_that_are_known(tmp_path: Path) -> None:
    settings, report = _import_one(
        tmp_path, "id,gender,is_new,is_pro,since\n1,F,1.0,,2026-01-01\n2,,,,\n", USERS_MAP
    )
    assert report.days == {"users": {"2026-03-05": 2}}
    assert _known(landed_rows(settings, "users")) == [
        {
            "user_id": "1",
            "registered_at": "2026-01-01T00:00:00.000000Z",
            "profile": '["gender=F","is_new=1"]',
        },
        {"user_id": "2", "profile": "[]"},
    ]


def test_a_parquet_log_needs_no_text(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    rows = pa.table(
        {
            "u": pa.array([1, None]),
            "v": pa.array([7, 8]),
            "t": pa.array([datetime(2026, 3, 2, 12, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC")),
            "s": pa.array([2.5, None]),
        }
    )
    pq.write_table(rows, tmp_path / "log" / "plays.parquet")
    names = 'user_id = "u"\nvideo_id = "v"\nevent_time = "t"\nwatch_seconds = "s"'
    text = f'source = "a"\n[watches.columns]\n{names}'
    settings, report = _import(tmp_path / "log", text)
    assert report.files == {"plays.parquet": 2}
    shown = [
        (row["user_id"], row["video_id"], row["event_time"], row["watch_seconds"])
        for row in landed_rows(settings, "watches")
    ]
    assert shown == [
        ("1", "7", "2026-03-02T12:00:00.000000Z", "2.5"),
        (None, "8", "2026-03-02T12:00:00.000000Z", None),
    ]


def test_a_join_adds_the_newest_row_of_a_second_file(folder: Path) -> None:
    (folder / "sizes.csv").write_text(
        "clip,day,by,secs\nv9,20260301,new,9\nv9,20260302,newest,10\nv9,20260228,old,8\n"
    )
    text = MAP.replace(
        'files = "videos.csv"',
        'files = "videos.csv"\n[[videos.join]]\nfiles = "sizes.csv"\non = "clip"\nnewest = "day"',
    )
    settings, report = _import(folder, text + 'duration_seconds = "secs"\n')
    assert report.files["videos.csv"] == 2
    assert [row["duration_seconds"] for row in landed_rows(settings, "videos")] == ["10.0", None]
    assert [row["uploader_id"] for row in landed_rows(settings, "videos")] == ["0", "1"], (
        "own columns come first"
    )


BAD_PLAYS = [
    (f"zoe,v7,{NOON_MS},much,like", "watch_seconds is not a finite number"),
    (f"zoe,v7,{NOON_MS},-1000,like", "watch_seconds is negative"),
    (f",v7,{NOON_MS},1,like", "user_id is missing"),
    (f"zoe,,{NOON_MS},1,like", "video_id is missing"),
    ("zoe,v7,soon,1,like", "event_time is not a time with UTC offset"),
    ("zoe,v7,,1,like", "event_time is missing"),
    ("zoe,v7,0,1,like", "event_time is before 2000-01-01"),  # a clock at zero, on a day that is ingested
    ("zoe,v7,99999999999999,1,like", "event_time lies after its landing day: clock ahead"),
    ("zoe,v7", "not JSON"),
    ('zoe,v7,"1,1,like', "not JSON"),
    ("zoe,v7,1,1,like,more", "not JSON"),
]


@pytest.mark.parametrize(("line", "rule"), BAD_PLAYS)
def test_a_bad_row_is_not_dropped_but_refused_by_ingest_with_its_reason(
    folder: Path, line: str, rule: str
) -> None:
    (folder / "plays.csv").write_text(PLAYS + line + "\n")
    settings, report = _import(folder)
    assert report.files["plays.csv"] == 4
    assert report.days["watches"] == {"2026-03-02": 3, "2026-03-03": 1}
    staged = Stage.open(Path(stage(["2026-03-02", "2026-03-03"], settings=settings)))
    counts = [count for count in staged.counts if count.table == "watches"]
    assert [(count.read, count.kept, count.quarantined) for count in counts] == [(3, 2, 1), (1, 1, 0)]
    assert counts[0].rules == {rule: 1}


def test_a_line_that_is_no_text_is_refused_by_ingest_too(folder: Path) -> None:
    (folder / "plays.csv").write_bytes(PLAYS.encode() + b"z\xff,v7,1,1,like\n")
    settings, report = _import(folder)
    assert (report.files["plays.csv"], report.rejected) == (4, {"plays.csv": 1})
    staged = Stage.open(Path(stage(["2026-03-02"], settings=settings)))
    assert {rule for count in staged.counts for rule in count.rules} == {"not UTF-8"}


def test_lines_that_became_rows_are_no_longer_rejected(folder: Path) -> None:
    (folder / "plays.csv").write_text(PLAYS.replace(",", ";"))
    text = MAP.replace(
        'files = "plays*.csv"', 'files = "plays*.csv"\nheader = ["uid", "clip", "ts", "played", "action"]'
    )
    with pytest.raises(BadInputError, match="no row with a usable event_time"):
        _import(folder, text)
    mended = text.replace("header", 'delimiter = ";"\nheader')
    settings, report = _import(folder, mended)
    assert (report.files["plays.csv"], report.rejected) == (3, {})
    assert not list(settings.landing.rglob("*rejected*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            MAP.replace('"uid"', '"user"'),
            r"plays\.csv has no column 'user', which the map wants for watches\.user_id; it has uid, clip",
        ),
        (MAP.replace('"plays*.csv"', '"views*.csv"'), r"log holds no views\*\.csv"),
        (
            MAP.replace('unit = "ms" }\nwatch', 'unit = "us" }\nwatch'),
            r"usable event_time \(the first is '1970-01-21T",
        ),
        (
            MAP.replace(
                "[videos.columns]", '[[videos.join]]\nfiles = "plays.csv"\non = "id"\n[videos.columns]'
            ),
            r"videos\.csv has no column 'id' to join by; it has clip, by, topics",
        ),
        (
            MAP.replace(
                "[videos.columns]", '[[videos.join]]\nfiles = "*.csv"\non = "clip"\n[videos.columns]'
            ),
            r"a join needs one file, .* has plays\.csv, videos\.csv",
        ),
    ],
)
def test_what_the_map_wants_and_the_files_lack_is_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        _import(folder, text)


def test_a_snapshot_alone_must_say_its_day(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"add snapshot_day = 2026-01-31 to \[users\]"):
        _import_one(tmp_path, "id,gender,since\n1,F,\n", USERS_MAP.replace("snapshot_day = 2026-03-05\n", ""))


def test_a_log_that_lies_there_twice_is_refused(folder: Path) -> None:
    (folder / "plays.csv.gz").write_bytes(gzip.compress(PLAYS.encode()))
    with pytest.raises(BadInputError, match="look like one file"):
        _import(folder)


def test_one_file_of_a_map_with_several_tables_is_told_by_its_pattern(folder: Path) -> None:
    with pytest.raises(BadInputError, match="give the folder of all files"):
        _import(folder / "plays.csv")
    only_watches = MAP.partition("[videos]")[0]
    _, report = _import(folder / "plays.csv", only_watches)
    assert report.files == {"plays.csv": 3}
