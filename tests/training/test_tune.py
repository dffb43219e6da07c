"""Tuning searches the open settings, on one half of the users, and resumes."""

from pathlib import Path

import pytest

from features.days import parse_span
from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.tune import read_space, tune

SPAN = parse_span("2026-03-04")


def test_a_study_resumes_and_trains_only_the_missing_trials(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    first = tune("popularity", at(3), SPAN, 2, settings=settings)
    assert tune("popularity", at(3), SPAN, 2, settings=settings) == first
    more = tune("popularity", at(3), SPAN, 3, settings=settings)
    assert more.num_trials == 3
    assert more.value >= first.value
    assert [path.suffix for path in (tmp_path / "tune").iterdir()] == [".db"], "no bundle of a trial stays"
    assert more.overrides[0].startswith("window_days=")


def test_nothing_to_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing to search"):
        tune("popularity", at(3), SPAN, 1, settings=Settings(home=tmp_path), overrides=["window_days=1"])


def test_a_space_names_bounds_and_scale(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text('learning_rate = [1e-4, 1e-2, "log"]\n')
    assert read_space(path) == {"learning_rate": (1e-4, 1e-2, "log")}
    path.write_text("learning_rate = 3\n")
    with pytest.raises(BadInputError, match="is no search space"):
        read_space(path)


@pytest.mark.slow
def test_a_network_is_tuned_by_the_epochs_that_it_validates(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.1, num_users=60, num_videos=80, num_days=4)
    small = ["dim=8", "epochs=2", "refit_epochs=0", "num_negatives=32", "batch_size=16"]
    space = {"temperature": (0.05, 0.2, "log")}
    found = tune("single_activation", at(3), SPAN, 2, settings=settings, overrides=small, space=space)
    assert found.num_trials == 2
    assert found.value > 0
    assert found.overrides[-1].startswith("temperature=")
