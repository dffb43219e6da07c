"""KuaiRand import on invented rows in the official layout: times, unknown values, and no row lost."""

import gzip
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features import schema
from features.errors import BadInputError
from features.settings import Settings
from features.sources.kuairand import ImportReport, import_kuairand

LOG_HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,"
    "long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
)
MIDNIGHT_MS = int(datetime(2022, 4, 25, tzinfo=UTC).timestamp() * 1000)
LOG = f"""{LOG_HEADER}
0,0,20220425,700,{MIDNIGHT_MS - 1},1,1,0,0,0,0,1,61802,49866,0,0,0,0,1
7,5,20220425,800,{MIDNIGHT_MS},1,0,1,0,1,,0,1500,11933,0,0,0,0,4
7,5,20220425,800,{MIDNIGHT_MS},1,0,1,0,1,,0,1500,11933,0,0,0,0,4
"""
ESTIMATED_LOG = f"""{LOG_HEADER}
8,0,20220425,2359,{MIDNIGHT_MS + 57_599_999},,0,,,,,1,,123350.0,,,,,
"""  # 23:59:59.999 in UTC+8, 15:59:59.999 UTC
VIDEO_HEADER = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,"
    "server_height,music_id,music_type,tag"
)
VIDEOS = f"""{VIDEO_HEADER}
0,0,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,39
5,2103883,AD,2022-04-09,PictureSet,0.0,,1080.0,1440.0,2158493723,,"67,11"
6,6,UNKNOWN,2022-04-11,Web,1.0,5000.0,1080.0,1440.0,0,,
"""
USER_HEADER = (
    "user_id,user_active_degree,is_live_streamer,follow_user_num,follow_user_num_range,"
    "register_days_range,onehot_feat1,onehot_feat4"
)
USERS = f"""{USER_HEADER}
0,full_active,1,514,500+,730+,7,1.0
7,UNKNOWN,-124,8,"(0,10]",181-365,0,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One plain and one gzipped log, with the two feature files."""
    source = tmp_path / "kuairand"
    source.mkdir()
    (source / "log_standard_pure.csv").write_text(LOG)
    (source / "log_estimated_pure.csv.gz").write_bytes(gzip.compress(ESTIMATED_LOG.encode()))
    (source / "video_features_basic_pure.csv").write_text(VIDEOS)
    (source / "user_features_pure.csv").write_text(USERS)
    return source


def _import(folder: Path) -> tuple[Settings, ImportReport]:
    settings = Settings(home=folder.parent / "home")
    return settings, import_kuairand(folder, settings)


def _watches(settings: Settings, day: str = "*") -> list[dict]:
    files = sorted((settings.landing / schema.WATCHES).glob(f"{day}/*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def test_rows_are_counted_by_file_local_day_and_utc_day(folder: Path) -> None:
    _, report = _import(folder)
    assert report.files == {"log_estimated_pure.csv.gz": 1, "log_standard_pure.csv": 3}
    # One millisecond before midnight UTC is 07:59 of the same local day as the rest.
    assert report.utc_days == {"2022-04-24": 1, "2022-04-25": 3}
    assert report.local_days == {"2022-04-25": 4}
    assert report.stated_days == {"20220425": 4}
    assert (report.num_videos, report.num_users) == (3, 2)


def test_a_day_stated_by_the_log_does_not_override_the_time(folder: Path) -> None:
    early = MIDNIGHT_MS - 8 * 3_600_000 - 1  # 23:59:59.999 of 04-24 in UTC+8
    (folder / "log_standard_pure.csv").write_text(
        LOG + f"9,5,20220425,0,{early},1,0,0,0,0,0,0,9,9,0,0,0,0,1\n"
    )
    _, report = _import(folder)
    assert report.local_days == {"2022-04-24": 1, "2022-04-25": 4}
    assert report.stated_days == {"20220425": 5}


def test_a_watch_keeps_its_values_and_id_zero_is_an_id(folder: Path) -> None:
    settings, _ = _import(folder)
    (row,) = _watches(settings, "2022-04-24")
    assert row == {
        schema.EVENT_ID: md5(f"0-0-{MIDNIGHT_MS - 1}".encode()).hexdigest(),
        schema.USER_ID: "0",
        schema.VIDEO_ID: "0",
        schema.EVENT_TIME: "2022-04-24T23:59:59.999000Z",
        schema.WATCH_SECONDS: "61.802",
        schema.LONG_WATCH: "true",
        schema.LIKED: "true",
        schema.FOLLOWED: "false",
        schema.SHARED: "false",
        schema.COMMENTED: "false",
        schema.DISLIKED: "false",
        schema.SCENE: "1",
        schema.DEVICE: None,
        schema.REQUEST_ID: None,
        schema.CHANNEL: None,
        schema.INTEREST: None,
    }


def test_unknown_values_stay_unknown_and_are_not_false(folder: Path) -> None:
    settings, _ = _import(folder)
    estimated, first, second = _watches(settings, "2022-04-25")
    unknown = {name for name, value in estimated.items() if value is None}
    assert {schema.WATCH_SECONDS, schema.FOLLOWED, schema.DISLIKED, schema.SCENE} <= unknown
    assert (estimated[schema.LONG_WATCH], estimated[schema.LIKED]) == ("true", "false")
    assert (first[schema.FOLLOWED], first[schema.SHARED], first[schema.DISLIKED]) == ("true", "true", None)
    assert first[schema.EVENT_ID] == md5(f"7-5-{MIDNIGHT_MS}".encode()).hexdigest()
    assert first == second, "a repeated row stays, under the same event id; ingest counts it"


@pytest.mark.parametrize(
    ("line", "landed"),
    [
        ("x9,5,20220425,0,{ms},1,0,0,0,0,0,0,9,9,0,0,0,0,1", {schema.USER_ID: "x9"}),
        (",5,20220425,0,{ms},1,0,0,0,0,0,0,9,9,0,0,0,0,1", {schema.USER_ID: None}),
        ("9,5,20220425,0,soon,1,0,0,0,0,0,0,9,9,0,0,0,0,1", {schema.EVENT_TIME: "soon"}),
        (
            "9,5,20220425,0,99999999999999999,1,0,0,0,0,0,0,9,9,0,0,0,0,1",
            {schema.EVENT_TIME: "99999999999999999"},
        ),
        ("9,5,20220425,0,{ms},1,0,0,0,0,0,2,9,9,0,0,0,0,1", {schema.LONG_WATCH: "2"}),
        ("9,5,20220425,0,{ms},1,0,0,0,0,0,0,much,9,0,0,0,0,1", {schema.WATCH_SECONDS: "much"}),
    ],
)
def test_a_value_that_does_not_fit_is_passed_on_as_it_is(folder: Path, line: str, landed: dict) -> None:
    (folder / "log_standard_pure.csv").write_text(LOG + line.format(ms=MIDNIGHT_MS))
    settings, report = _import(folder)
    assert report.files["log_standard_pure.csv"] == 4
    assert len(_watches(settings)) == 5
    assert any(landed.items() <= row.items() for row in _watches(settings))


def test_a_line_with_a_wrong_number_of_fields_goes_raw_into_a_file_of_its_own(folder: Path) -> None:
    (folder / "log_standard_pure.csv").write_text(LOG + '9,5,20220425\n\n"1,2\n')
    settings, report = _import(folder)
    assert report.files["log_standard_pure.csv"] == 5, (
        "three good rows and two broken ones; a blank line is none"
    )
    rejected = settings.landing / schema.WATCHES / "2022-04-24" / "kuairand-log_standard_pure-rejected.jsonl"
    assert rejected.read_text() == '9,5,20220425\n"1,2\n'


def test_windows_line_ends_change_nothing(folder: Path) -> None:
    settings, report = _import(folder)
    plain = _watches(settings)
    (folder / "log_standard_pure.csv").write_bytes(LOG.replace("\n", "\r\n").encode())
    again = import_kuairand(folder, settings)
    assert again.files == report.files
    assert _watches(settings) == plain


def test_videos_keep_tags_and_upload_days_start_at_local_midnight(folder: Path) -> None:
    settings, _ = _import(folder)
    videos = pq.read_table(settings.landing / schema.VIDEOS / "2022-04-24" / "kuairand.parquet").to_pylist()
    shared = {schema.TITLE: None, schema.LANGUAGE: None}
    assert videos == [
        {
            schema.VIDEO_ID: "0",
            schema.UPLOADER_ID: "0",
            schema.TAG_IDS: ["39"],
            schema.CATEGORY: "NORMAL",
            schema.DURATION_SECONDS: "87.433",
            schema.PUBLISHED_AT: "2022-04-09T16:00:00.000000Z",
            schema.IS_ONLINE: "true",
            **shared,
        },
        {
            schema.VIDEO_ID: "5",
            schema.UPLOADER_ID: "2103883",
            schema.TAG_IDS: ["67", "11"],
            schema.CATEGORY: "AD",
            schema.DURATION_SECONDS: None,
            schema.PUBLISHED_AT: "2022-04-08T16:00:00.000000Z",
            schema.IS_ONLINE: "true",
            **shared,
        },
        {
            schema.VIDEO_ID: "6",
            schema.UPLOADER_ID: "6",
            schema.TAG_IDS: None,
            schema.CATEGORY: None,
            schema.DURATION_SECONDS: "5.0",
            schema.PUBLISHED_AT: "2022-04-10T16:00:00.000000Z",
            schema.IS_ONLINE: "false",
            **shared,
        },
    ]


def test_profiles_name_what_is_known_of_a_user(folder: Path) -> None:
    settings, _ = _import(folder)
    users = pq.read_table(settings.landing / schema.USERS / "2022-04-24" / "kuairand.parquet").to_pylist()
    first = ["is_live_streamer=1", "follow_user_num_range=500+", "register_days_range=730+"]
    assert [(user[schema.USER_ID], user[schema.SEGMENT], user[schema.PROFILE]) for user in users] == [
        ("0", "full_active", [*first, "onehot_feat1=7", "onehot_feat4=1"]),
        ("7", None, ["follow_user_num_range=(0,10]", "register_days_range=181-365", "onehot_feat1=0"]),
    ]


def test_the_data_folder_of_the_archive_is_found(folder: Path) -> None:
    (folder.parent / "KuaiRand-Pure").mkdir()
    folder.rename(folder.parent / "KuaiRand-Pure" / "data")
    _, report = _import(folder.parent / "KuaiRand-Pure")
    assert sum(report.files.values()) == 4


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("log_*", r"holds no log_\*\.csv"),
        ("video_features_basic_pure.csv", r"holds no video_features_basic_\*\.csv"),
        ("user_features_pure.csv", r"holds no user_features_\*\.csv"),
    ],
)
def test_a_missing_file_is_named(folder: Path, file: str, message: str) -> None:
    for path in folder.glob(file):
        path.unlink()
    with pytest.raises(BadInputError, match=message):
        _import(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nowhere"):
        import_kuairand(tmp_path / "nowhere", Settings(home=tmp_path))


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("log_standard_pure.csv", "long_view"),
        ("video_features_basic_pure.csv", "tag"),
        ("user_features_pure.csv", "user_active_degree"),
    ],
)
def test_a_missing_column_is_named_with_its_file(folder: Path, file: str, column: str) -> None:
    path = folder / file
    path.write_text(path.read_text().replace(column, "something_else", 1))
    with pytest.raises(BadInputError, match=rf"{file} has no column {column}"):
        _import(folder)


def test_a_log_that_lies_there_twice_is_refused(folder: Path) -> None:
    (folder / "log_standard_pure.csv.gz").write_bytes(gzip.compress(LOG.encode()))
    with pytest.raises(BadInputError, match=r"plain and as \.gz"):
        _import(folder)


def test_a_damaged_gzip_file_is_named(folder: Path) -> None:
    path = folder / "log_estimated_pure.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInputError, match=r"log_estimated_pure\.csv\.gz"):
        _import(folder)


def test_a_log_without_any_usable_time_is_refused(folder: Path) -> None:
    (folder / "log_standard_pure.csv").write_text(f"{LOG_HEADER}\n1,2,,,soon,,,,,,,,,,,,,,\n")
    with pytest.raises(BadInputError, match="usable time_ms"):
        _import(folder)
