"""Import by column map: no row lost, ids that stay, and what ingest makes of bad rows."""

import gzip
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInputError
from features.ingest import stage
from features.stage import Stage
from tests.features.sources.landed import landed_files, landed_rows
from tests.features.sources.own_log import (
    MAP,
    NOON_MS,
    PLAYS,
    USERS_MAP,
    VIDEOS,
    import_log,
    import_one,
    known,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small log with text ids."""
    source = tmp_path / "log"
    source.mkdir()
    (source / "plays.csv").write_text(PLAYS)
    (source / "videos.csv").write_text(VIDEOS)
    return source


def test_rows_land_on_their_day_with_numbers_for_texts(folder: Path) -> None:
    settings, report = import_log(folder)
    assert report.files == {"plays.csv": 3, "videos.csv": 2}
    assert report.days == {"watches": {"2026-03-02": 2, "2026-03-03": 1}, "videos": {"2026-03-02": 2}}
    assert known(landed_rows(settings, "watches")) == [
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
    assert known(landed_rows(settings, "videos")) == [
        {"video_id": "1", "uploader_id": "0", "tag_ids": "[0,1,0]", "is_online": "true"},
        {"video_id": "0", "uploader_id": "1", "is_online": "true"},
    ]


def test_a_second_import_changes_no_byte(folder: Path) -> None:
    settings, _ = import_log(folder)
    before = landed_files(settings)
    times = {path: path.stat().st_mtime_ns for path in settings.root.rglob("*.parquet")}
    import_log(folder)
    assert landed_files(settings) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times, "nor the time at which it was written"


def test_ids_stay_when_a_later_file_brings_new_ones(folder: Path) -> None:
    settings, _ = import_log(folder)
    (folder / "plays.csv").write_text(
        f"uid,clip,ts,played,action\nbob,v1,{NOON_MS},1,\nann,v9,{NOON_MS},1,\n"
    )
    import_log(folder)
    ids = {row["user_id"]: row["video_id"] for row in landed_rows(settings, "watches")}
    assert ids == {"0": "1", "1": "1", "2": "2"}, "bob is 2 and v1 is 2; zoe, ann, v7 and v9 keep theirs"


def test_a_changed_file_takes_no_row_away(folder: Path) -> None:
    settings, _ = import_log(folder)
    (folder / "plays.csv").write_text(f"uid,clip,ts,played,action\nbob,v1,{NOON_MS},1,\n")
    import_log(folder)
    assert len(landed_rows(settings, "watches", "2026-03-02")) == 2 + 1


def test_the_same_file_under_a_mended_map_replaces_what_it_brought(folder: Path) -> None:
    (folder / "plays.csv").write_text("uid,clip,ts,played,action\nzoe,v7,2026-03-02 02:00:00,1,\n")
    wrong = MAP.replace('unit = "ms" }', 'timezone = "Asia/Shanghai" }', 1)
    settings, report = import_log(folder, wrong)
    assert report.days["watches"] == {"2026-03-01": 1}
    _, report = import_log(folder, wrong.replace("Asia/Shanghai", "UTC"))
    assert report.days["watches"] == {"2026-03-02": 1}
    assert len(landed_rows(settings, "watches")) == 1


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
    settings, report = import_log(tmp_path / "log", text)
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
    settings, report = import_log(folder, text + 'duration_seconds = "secs"\n')
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
    settings, report = import_log(folder)
    assert report.files["plays.csv"] == 4
    assert report.days["watches"] == {"2026-03-02": 3, "2026-03-03": 1}
    staged = Stage.open(Path(stage(["2026-03-02", "2026-03-03"], settings=settings)))
    counts = [count for count in staged.counts if count.table == "watches"]
    assert [(count.read, count.kept, count.quarantined) for count in counts] == [(3, 2, 1), (1, 1, 0)]
    assert counts[0].rules == {rule: 1}


def test_a_line_that_is_no_text_is_refused_by_ingest_too(folder: Path) -> None:
    (folder / "plays.csv").write_bytes(PLAYS.encode() + b"z\xff,v7,1,1,like\n")
    settings, report = import_log(folder)
    assert (report.files["plays.csv"], report.rejected) == (4, {"plays.csv": 1})
    staged = Stage.open(Path(stage(["2026-03-02"], settings=settings)))
    assert {rule for count in staged.counts for rule in count.rules} == {"not UTF-8"}


def test_lines_that_became_rows_are_no_longer_rejected(folder: Path) -> None:
    (folder / "plays.csv").write_text(PLAYS.replace(",", ";"))
    text = MAP.replace(
        'files = "plays*.csv"', 'files = "plays*.csv"\nheader = ["uid", "clip", "ts", "played", "action"]'
    )
    with pytest.raises(BadInputError, match="no row with a usable event_time"):
        import_log(folder, text)
    mended = text.replace("header", 'delimiter = ";"\nheader')
    settings, report = import_log(folder, mended)
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
        import_log(folder, text)


def test_a_format_that_is_none_is_named(folder: Path) -> None:
    text = MAP.replace('unit = "ms" }', 'format = "%d.%Q", timezone = "UTC" }', 1)
    with pytest.raises(BadInputError, match=r"plays\.csv cannot be converted by this map: .*%Q"):
        import_log(folder, text)


def test_a_damaged_file_is_named_and_nothing_of_it_lands(folder: Path) -> None:
    (folder / "plays.csv").unlink()
    (folder / "plays.csv.gz").write_bytes(gzip.compress(PLAYS.encode() * 1000)[:-20])
    with pytest.raises(BadInputError, match=r"plays\.csv\.gz cannot be read"):
        import_log(folder)
    assert not list((folder.parent / "home").rglob("*.parquet"))


def test_an_empty_file_among_others_is_counted_as_such(folder: Path) -> None:
    (folder / "plays_2.csv").write_text("uid,clip,ts,played,action\n")
    _, report = import_log(folder)
    assert report.files == {"plays.csv": 3, "plays_2.csv": 0, "videos.csv": 2}


def test_a_snapshot_alone_must_say_its_day(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"add snapshot_day = 2026-01-31 to \[users\]"):
        import_one(tmp_path, "id,gender,since\n1,F,\n", USERS_MAP.replace("snapshot_day = 2026-03-05\n", ""))


def test_a_log_that_lies_there_twice_is_refused(folder: Path) -> None:
    (folder / "plays.csv.gz").write_bytes(gzip.compress(PLAYS.encode()))
    with pytest.raises(BadInputError, match="look like one file"):
        import_log(folder)


def test_one_file_of_a_map_with_several_tables_is_told_by_its_pattern(folder: Path) -> None:
    with pytest.raises(BadInputError, match="give the folder of all files"):
        import_log(folder / "plays.csv")
    only_watches = MAP.partition("[videos]")[0]
    _, report = import_log(folder / "plays.csv", only_watches)
    assert report.files == {"plays.csv": 3}
