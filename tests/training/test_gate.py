"""The gate passes what is at least as good and healthy, and says why it refuses the rest."""

import math
from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, planted_log, video, watch, write_log
from training.evaluation import Metrics
from training.gate import comparison_problems, judge, sanity_problems
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
HEALTHY: Metrics = {"num_users": 100.0, "recall_at_50": 0.2, "mean_cosine": 0.4, "coverage": 0.3}


def test_a_healthy_candidate_has_no_problem() -> None:
    assert sanity_problems(HEALTHY) == []
    assert sanity_problems(HEALTHY | {"mean_cosine": None}) == [], "one interest has no cosine"
    assert comparison_problems(HEALTHY, HEALTHY, (-0.009, 0.01)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean_cosine": 0.96}, "interests collapsed: mean_cosine 0.960 is above 0.95"),
        ({"recall_at_50": math.nan}, "recall_at_50 not finite"),
        ({"coverage": math.inf}, "coverage not finite"),
        ({"recall_at_50": 0.0}, "the lists hit nothing"),
        ({"num_users": 0.0}, "nobody has a target"),
    ],
)
def test_collapsed_broken_or_empty_results_are_refused(change: Metrics, reason: str) -> None:
    (problem,) = sanity_problems(HEALTHY | change)
    assert reason in problem


@pytest.mark.parametrize("low", [-0.011, -0.5, math.nan])
def test_what_may_be_worse_is_refused(low: float) -> None:
    (problem,) = comparison_problems(HEALTHY, HEALTHY, (low, 0.02))
    assert "recall_at_50 is 0.2000 against 0.2000" in problem


def test_half_the_coverage_is_the_least() -> None:
    (problem,) = comparison_problems(HEALTHY | {"coverage": 0.14}, HEALTHY, (0.0, 0.1))
    assert problem == "coverage is 0.1400; half of the reference's is 0.1500"


def test_a_popularity_bundle_only_has_to_be_sane(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=3)
    bundle = train("popularity", at(2), settings=settings, training=UNTRACKED)
    verdict = judge(bundle, None, at(2), at(3), settings=settings)
    assert verdict.passed
    assert verdict.interval is None
    assert not judge(bundle, None, at(5), at(6), settings=settings).passed, "nobody to judge on"


def test_days_that_a_bundle_was_trained_on_cannot_judge_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    write_log(settings, [watch(1, 1, 0.5), watch(1, 2, 1.5)], [video(1), video(2)])
    bundle = train("popularity", at(2), settings=settings, training=UNTRACKED)
    with pytest.raises(BadInputError, match="judge on later days"):
        judge(bundle, None, at(1), at(2), settings=settings)
