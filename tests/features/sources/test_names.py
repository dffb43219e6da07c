"""A source's own names lead to ids and back."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from features.sources.names import SourceNames
from tests.features.sources.own_log import MAP, PLAYS, VIDEOS, import_log


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a small log whose ids are text."""
    return _imported(tmp_path, MAP)


def _imported(tmp_path: Path, text: str, plays: str = PLAYS) -> Settings:
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "plays.csv").write_text(plays)
    (folder / "videos.csv").write_text(VIDEOS)
    return import_log(folder, text)[0]


def test_users_videos_and_tags_have_the_names_of_their_source(settings: Settings) -> None:
    names = SourceNames(settings, "app")
    assert [names.user_id("zoe"), names.user_id("ann")] == [0, 1]  # in order of first appearance
    assert [names.video(0), names.video(1)] == ["v7", "v9"]
    assert [names.tag(0), names.tag(1)] == ["food", "travel"]


def test_ids_beyond_the_map_stay_numbers(settings: Settings) -> None:
    names = SourceNames(settings, "app")
    assert (names.video(2), names.tag(2)) == ("2", "2")


def test_a_source_whose_users_are_numbers_takes_numbers(tmp_path: Path) -> None:
    numbered = PLAYS.replace("zoe", "12").replace("ann", "34")
    settings = _imported(tmp_path, MAP.replace("true", '["video", "uploader", "tag"]'), numbered)
    assert SourceNames(settings, "app").user_id("34") == 34


def test_an_unknown_user_or_source_is_named(settings: Settings) -> None:
    with pytest.raises(BadInputError, match="app knows no user 'bob'"):
        SourceNames(settings, "app").user_id("bob")
    with pytest.raises(BadInputError, match="imported as 'apps'; --source is the `source` of a map: app"):
        SourceNames(settings, "apps")
