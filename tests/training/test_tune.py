"""Tuning searches the open settings, on one half of the users, and resumes."""

from pathlib import Path

import pytest

from features.days import parse_span
from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.tune import tune

SPAN = parse_span("2026-03-04")
ANY_WINDOW = ["window_days=none"]


def test_a_study_resumes_and_trains_only_the_missing_trials(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    first = tune("popularity", at(3), SPAN, 2, settings=settings, overrides=ANY_WINDOW)
    assert tune("popularity", at(3), SPAN, 2, settings=settings, overrides=ANY_WINDOW) == first
    more = tune("popularity", at(3), SPAN, 3, settings=settings, overrides=ANY_WINDOW)
    assert more.num_trials == 3
    assert more.value >= first.value
    assert len(list((tmp_path / "tune" / "bundles" / "popularity").iterdir())) == 3


def test_nothing_to_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing to search"):
        tune("popularity", at(3), SPAN, 1, settings=Settings(home=tmp_path), overrides=["half_life_days=1"])
