"""The demo wipes only its own homes, and shows users as they were planted."""

import sys
from pathlib import Path

import pytest

from features.errors import BadInputError, RetryLaterError
from features.ingest import ingest
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from serving.demo import make_home
from serving.demo_command import FacetCommand
from serving.demo_world import World

CONFIG = SimulationConfig(
    num_users=60, num_videos=200, num_uploaders=30, num_topics=10, num_days=4, last_day="2026-03-04"
)


def test_a_home_of_an_earlier_demo_is_wiped(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "demo")
    make_home(settings)
    (settings.root / "left_over").touch()
    make_home(settings)
    assert not (settings.root / "left_over").exists()


def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BadInputError, match="is no home of a demo"):
        make_home(Settings(home=tmp_path))
    assert (tmp_path / "thesis.tex").exists()


def test_a_command_that_fails_shows_the_end_of_its_output(tmp_path: Path) -> None:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "FACET_HOME": str(tmp_path)}
    command = FacetCommand(["ingest", "2026-02-30"], environment, tmp_path / "ingest.log")
    with pytest.raises(RetryLaterError, match=r"(?s)facet ingest 2026-02-30 ended with 2.*is not a day"):
        command.result()


@pytest.mark.slow
def test_demo_users_are_the_first_with_so_many_interests_and_their_topics_have_names(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    simulate(CONFIG, settings)
    ingest(CONFIG.days, settings=settings)
    world = World(settings, CONFIG.last_day, min_watches=10)
    user = world.user_with(3)
    assert len(set(user.planted)) == 3
    assert sum(user.shares) == pytest.approx(1.0)
    assert user.shares == sorted(user.shares, reverse=True)
    assert user.num_watches >= 10
    videos = sorted(world.topic_of)
    assert sum(count for _, count in world.topic_counts(videos[:50])) == 50
    assert world.topic_counts([videos[0], videos[0]]) == [(world.topic_of[videos[0]], 2)]
