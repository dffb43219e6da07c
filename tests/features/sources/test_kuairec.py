"""KuaiRec import on invented rows in the official layout."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from features.sources.kuairec import import_kuairec
from tests.features.sources.landed import landed_rows

MATRIX_HEADER = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
FILES = {
    # 1593878903.438 is 2020-07-04 16:08:23.438 UTC, the 5th in UTC+8.
    "big_matrix.csv": MATRIX_HEADER
    + "0,3650,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.273397\n"
    + "0,3650,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.273397\n",
    "small_matrix.csv": MATRIX_HEADER
    + "14,148,4381,6067,2020-07-05 05:27:48.378,20200705,1593898068.378,0.722103\n"
    + "14,183,11635,6100,,,,1.907377\n",
    "item_categories.csv": 'video_id,feat\n148,"[27, 9]"\n183,[8]\n',
    "item_daily_features.csv": (
        "video_id,date,author_id,video_type,upload_dt,visible_status,video_duration,show_cnt\n"
        "148,20200705,3309,NORMAL,2020-03-30,public,5966.0,10\n"
        "148,20200706,3309,NORMAL,2020-03-30,only friends,5966.0,11\n"
        "183,20200705,65,AD,2020-07-01,public,,9\n"
    ),
    "user_features.csv": (
        "user_id,user_active_degree,is_lowactive_period,is_live_streamer,fans_user_num,fans_user_num_range,onehot_feat0\n"
        '0,high_active,0,-124,5,"[1,10)",0\n14,UNKNOWN,0,1,0,0,1.0\n'
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The unpacked archive: its files lie in ``data``."""
    data = tmp_path / "KuaiRec" / "data"
    data.mkdir(parents=True)
    for name, text in FILES.items():
        (data / name).write_text(text)
    return data.parent


def test_both_matrices_land_and_rows_without_time_stay_with_the_first_day(folder: Path) -> None:
    settings = Settings(home=folder.parent / "home")
    report = import_kuairec(folder, settings)
    assert report.files == {
        "big_matrix.csv": 2,
        "small_matrix.csv": 2,
        "item_categories.csv": 2,
        "user_features.csv": 2,
    }
    assert report.days["watches"] == {"2020-07-04": 4}
    watches = landed_rows(settings, "watches")
    assert [(row["user_id"], row["event_time"], row["watch_seconds"]) for row in watches] == [
        ("0", "2020-07-04T16:08:23.438000Z", "13.838"),
        ("0", "2020-07-04T16:08:23.438000Z", "13.838"),
        ("14", "2020-07-04T21:27:48.378000Z", "4.381"),
        ("14", None, "11.635"),
    ]
    assert watches[0]["event_id"] == watches[1]["event_id"]
    assert {row["long_watch"] for row in watches} == {None}


def test_videos_have_the_tags_of_one_file_and_the_newest_state_of_the_other(folder: Path) -> None:
    settings = Settings(home=folder.parent / "home")
    import_kuairec(folder, settings)
    first, second = landed_rows(settings, "videos", "2020-07-04")
    assert (first["tag_ids"], second["tag_ids"]) == ("[27, 9]", "[8]")
    assert (first["uploader_id"], first["duration_seconds"], first["is_online"]) == ("3309", "5.966", "false")
    assert (second["category"], second["duration_seconds"], second["is_online"]) == ("AD", None, "true")
    assert first["published_at"] == "2020-03-29T16:00:00.000000Z", "midnight of UTC+8"


def test_users_have_a_segment_and_a_profile(folder: Path) -> None:
    settings = Settings(home=folder.parent / "home")
    import_kuairec(folder, settings)
    users = landed_rows(settings, "users", "2020-07-04")
    assert [(user["segment"], user["profile"]) for user in users] == [
        ("high_active", '["is_lowactive_period=0","fans_user_num_range=[1,10)","onehot_feat0=0"]'),
        (None, '["is_lowactive_period=0","is_live_streamer=1","fans_user_num_range=0","onehot_feat0=1"]'),
    ]


@pytest.mark.parametrize("name", ["item_categories.csv", "item_daily_features.csv", "user_features.csv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / "data" / name).unlink()
    with pytest.raises(BadInputError, match=f"holds no {name}"):
        import_kuairec(folder, Settings(home=folder.parent / "home"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"holds no big_matrix\.csv or small_matrix\.csv"):
        import_kuairec(tmp_path, Settings(home=tmp_path / "home"))
