"""Every importer is reached by its name; what it brought is the same after ingest, however often it ran."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.errors import BadInputError
from features.ingest import ingest
from features.lake import Lake
from features.settings import Settings
from features.sources.registry import SOURCES, import_source
from tests.features.sources import test_kuairand as kuairand
from tests.features.sources.test_kuairec import FILES as KUAIREC
from tests.features.sources.test_microlens import PAIRS, TITLES
from tests.features.sources.test_movielens import CSV as MOVIELENS

KUAIRAND = {
    "log_standard_pure.csv": kuairand.LOG,
    "video_features_basic_pure.csv": kuairand.VIDEOS,
    "user_features_pure.csv": kuairand.USERS,
}
MAP = """
source = "app"
text_ids = ["user"]
[watches]
files = "plays.csv"
[watches.columns]
user_id = "uid"
video_id = "clip"
event_time = { column = "ts", unit = "s" }
watch_seconds = "played"
[videos]
files = "videos.csv"
[videos.columns]
video_id = "clip"
uploader_id = { constant = 0 }
"""
NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp())
PLAYS = "".join(f"user-{i % 3},{i % 5},{NOON + i},{i}\n" for i in range(19))
"""19 good rows; the bad one below makes them 20."""


def _write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.slow
def test_a_log_imported_twice_is_in_the_lake_once_and_its_bad_row_in_quarantine(tmp_path: Path) -> None:
    plays = "uid,clip,ts,played\n" + PLAYS + f"user-1,1,{NOON},long\n"
    videos = "clip\n" + "".join(f"{i}\n" for i in range(5))
    folder = _write(tmp_path / "log", {"plays.csv": plays, "videos.csv": videos})
    (tmp_path / "map.toml").write_text(MAP)
    settings = Settings(home=tmp_path / "home")
    sums = []
    for _ in range(2):
        facts = import_source("csv", folder, settings, tmp_path / "map.toml")
        assert facts["files"] == {"plays.csv": 20, "videos.csv": 5}
        [watches] = [
            count for count in ingest(["2026-03-02"], settings=settings).counts if count.table == "watches"
        ]
        assert (watches.read, watches.kept, watches.duplicate, watches.quarantined) == (20, 19, 0, 1)
        assert watches.rules == {"watch_seconds is not a finite number": 1}
        sums.append([Lake(settings).checksum(table, "2026-03-02") for table in ("watches", "videos")])
    assert sums[0] == sums[1]


@pytest.mark.parametrize(
    ("name", "files", "rows"),
    [
        ("kuairand", KUAIRAND, 3),
        ("kuairec", KUAIREC, 8),
        ("microlens", {"a_pairs.csv": PAIRS, "a_titles.csv": TITLES}, 4),
        ("movielens", MOVIELENS, 5),
    ],
)
def test_a_public_log_is_reached_by_its_name(
    tmp_path: Path, name: str, files: dict[str, str], rows: int
) -> None:
    facts = import_source(name, _write(tmp_path / "log", files), Settings(home=tmp_path / "home"))
    assert sum(facts["files"].values()) == rows


def test_an_unknown_source_is_told_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="kuairand, kuairec, microlens, movielens, csv"):
        import_source("netflix", tmp_path, Settings(home=tmp_path))
    assert SOURCES == ("kuairand", "kuairec", "microlens", "movielens", "csv")


def test_a_map_is_for_csv_and_only_for_csv(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="import csv needs a column map"):
        import_source("csv", tmp_path, Settings(home=tmp_path))
    with pytest.raises(BadInputError, match="import kuairand has its own layout"):
        import_source("kuairand", tmp_path, Settings(home=tmp_path), tmp_path / "map.toml")


def test_an_import_that_ingest_would_not_see_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, landing_uri="s3://bucket/landing")
    with pytest.raises(BadInputError, match="s3://bucket/landing; unset it for the import"):
        import_source("movielens", tmp_path, settings)
