"""MicroLens import on invented rows in the official layouts of 50k and 100k."""

from pathlib import Path

import pytest

from features.settings import Settings
from features.sources.microlens import import_microlens
from tests.features.sources.landed import landed_rows

# 2020-03-05T03:23:49.552Z and one day later.
PAIRS = "user,item,timestamp\n36121,9580,1583378629552\n5,9580,1583465029552\n"
TITLES = '9580,"Cats, dogs, and ""friends"""\n12,Noodles\n'


@pytest.mark.parametrize(
    ("titles", "content"),
    [
        ("MicroLens-50k_titles.csv", "item,title\n" + TITLES),
        ("MicroLens-100k_title_en.csv", TITLES),
    ],
)
def test_comments_land_as_long_watches_and_titles_as_videos(
    tmp_path: Path, titles: str, content: str
) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / f"{titles.partition('_')[0]}_pairs.csv").write_text(PAIRS)
    (tmp_path / "log" / titles).write_text(content)
    (tmp_path / "log" / "MicroLens-50k_likes_and_views.txt").write_text("9580\t7\t100\n")
    settings = Settings(home=tmp_path / "home")
    report = import_microlens(tmp_path / "log", settings)
    assert sorted(report.files.values()) == [2, 2]
    assert report.days["watches"] == {"2020-03-05": 1, "2020-03-06": 1}
    [watch] = landed_rows(settings, "watches", "2020-03-05")
    assert (watch["user_id"], watch["video_id"], watch["event_time"]) == (
        "36121",
        "9580",
        "2020-03-05T03:23:49.552000Z",
    )
    assert (watch["long_watch"], watch["commented"]) == ("true", "true")
    assert (watch["watch_seconds"], watch["liked"]) == (None, None)
    videos = landed_rows(settings, "videos", "2020-03-05")
    assert [(row["video_id"], row["uploader_id"], row["title"]) for row in videos] == [
        ("9580", "0", 'Cats, dogs, and "friends"'),
        ("12", "0", "Noodles"),
    ]
