"""The gate passes what is at least as good and healthy, and says why it refuses the rest."""

import math
from pathlib import Path

import numpy as np
import pytest

from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, planted_log, video, watch, write_log
from training.evaluation import Judgement, Metrics
from training.gate import comparison_problems, judge, paired_interval, sanity_problems
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
HEALTHY: Metrics = {"num_users": 100.0, "recall_at_50": 0.2, "mean_cosine": 0.4, "coverage": 0.3}


def judgement(main: list[float], user_ids: list[int] | None = None) -> Judgement:
    users = np.arange(len(main)) if user_ids is None else np.array(user_ids)
    return Judgement(HEALTHY, users, np.array(main))


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


def test_the_interval_is_relative_and_paired_by_user() -> None:
    ours, theirs = [0.5, 1.0, 0.25, 0.5] * 50, [0.4, 0.8, 0.2, 0.4] * 50
    # Every user gains a quarter, so every resample gains a quarter however the users differ.
    assert paired_interval(judgement(ours), judgement(theirs)) == pytest.approx((0.25, 0.25))
    # The same, when theirs lacks some users and lists the others in its own order.
    shifted = judgement([0.8, 0.2], [1, 2])
    assert paired_interval(judgement([0.5, 1.0, 0.25]), shifted) == pytest.approx((0.25, 0.25))


def test_the_interval_has_the_width_of_the_standard_error() -> None:
    random = np.random.default_rng(0)
    theirs = np.full(400, 0.5)
    ours = theirs + random.normal(0.0, 0.2, 400)
    low, high = paired_interval(judgement(ours.tolist()), judgement(theirs.tolist()))
    # Standard error of the mean difference .2 / 20 = .01, relative to .5: .02; two sides of 1.96.
    assert high - low == pytest.approx(2 * 1.96 * 0.02, rel=0.15)


def test_without_common_users_nothing_passes() -> None:
    interval = paired_interval(judgement([1.0], [1]), judgement([1.0], [2]))
    assert comparison_problems(HEALTHY, HEALTHY, interval)


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
