"""MovieLens import on invented rows in the CSV layout and that of 1M."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from features.sources.id_map import TAG, IdMap
from features.sources.movielens import import_movielens
from tests.features.sources.landed import landed_rows

# 978300760 is 2000-12-31T22:12:40Z; 851868750 lies in 1996.
CSV = {
    "ratings.csv": (
        "userId,movieId,rating,timestamp\n1,31,3.5,978300760\n1,110,4.0,978300761\n7,31,5.0,851868750\n"
    ),
    "movies.csv": (
        "movieId,title,genres\n"
        '31,"American President, The (1995)",Comedy|Drama\n'
        "110,Braveheart (1995),(no genres listed)\n"
    ),
}
DAT = {
    "ratings.dat": "1::31::3::978300760\n1::110::4::978300761\n",
    "movies.dat": '31::Misérables, Les (1995)::Drama|Musical\n110::Say "hi" (1995)::Musical\n',
    "users.dat": "1::F::1::10::48067\n",
}


def _write(tmp_path: Path, files: dict[str, str], encoding: str = "utf-8") -> Path:
    folder = tmp_path / "ml"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder


def test_a_rating_of_four_stars_is_a_long_watch_and_fewer_are_none(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    report = import_movielens(_write(tmp_path, CSV), settings)
    assert report.files == {"ratings.csv": 3, "movies.csv": 2}
    assert report.days["watches"] == {"1996-12-29": 1, "2000-12-31": 2}
    watches = landed_rows(settings, "watches", "2000-12-31")
    assert [(row["video_id"], row["long_watch"], row["watch_seconds"]) for row in watches] == [
        ("31", "false", None),
        ("110", "true", None),
    ]


def test_genres_are_tags_with_numbers(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    import_movielens(_write(tmp_path, CSV), settings)
    assert [(row["title"], row["tag_ids"]) for row in landed_rows(settings, "videos")] == [
        ("American President, The (1995)", "[0,1]"),
        ("Braveheart (1995)", None),
    ]
    assert IdMap(settings, "movielens").texts(TAG).to_pylist() == ["Comedy", "Drama"]


def test_the_layout_of_1m_has_users_and_latin_1_titles(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    report = import_movielens(_write(tmp_path, DAT, "latin-1"), settings)
    assert report.files == {"ratings.dat": 2, "movies.dat": 2, "users.dat": 1}
    assert [row["long_watch"] for row in landed_rows(settings, "watches")] == ["false", "true"]
    assert [(row["title"], row["tag_ids"]) for row in landed_rows(settings, "videos")] == [
        ("Misérables, Les (1995)", "[0,1]"),
        ('Say "hi" (1995)', "[1]"),
    ]
    [user] = landed_rows(settings, "users")
    assert (user["user_id"], user["profile"]) == ("1", '["gender=F","age=1","occupation=10"]')


def test_a_folder_without_ratings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"holds no ratings\.csv or ratings\.dat"):
        import_movielens(tmp_path, Settings(home=tmp_path / "home"))
