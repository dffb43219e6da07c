"""Intervals are paired by user, have the width of the standard error, and repeat."""

import math

import numpy as np
import pytest

from training.evaluation import Judgement
from training.gate import comparison_problems
from training.intervals import mean_interval, paired_difference, paired_interval


def judgement(main: list[float], user_ids: list[int] | None = None) -> Judgement:
    users = np.arange(len(main)) if user_ids is None else np.array(user_ids)
    return Judgement({}, users, np.array(main), {"ndcg_at_50": np.array(main) / 2})


def test_the_interval_is_relative_and_paired_by_user() -> None:
    ours, theirs = [0.5, 1.0, 0.25, 0.5] * 50, [0.4, 0.8, 0.2, 0.4] * 50
    # Every user gains a quarter, so every resample gains a quarter however the users differ.
    assert paired_interval(judgement(ours), judgement(theirs)) == pytest.approx((0.25, 0.25))
    # The same, when theirs lacks some users and lists the others in its own order.
    shifted = judgement([0.8, 0.2], [1, 2])
    assert paired_interval(judgement([0.5, 1.0, 0.25]), shifted) == pytest.approx((0.25, 0.25))


def test_the_difference_is_absolute_and_paired_by_user() -> None:
    ours, theirs = [0.5, 0.9, 0.3, 0.4] * 50, [0.4, 0.8, 0.2, 0.3] * 50
    # Every user gains .1; of half the figure, half of it.
    assert paired_difference(judgement(ours), judgement(theirs)) == pytest.approx((0.1, 0.1))
    found = paired_difference(judgement(ours), judgement(theirs), metric="ndcg_at_50")
    assert found == pytest.approx((0.05, 0.05))
    assert paired_difference(judgement([0.5, 1.0, 0.3]), judgement([0.2, 0.9], [2, 1])) == pytest.approx(
        (0.1, 0.1)
    )


def test_relative_intervals_have_the_width_of_the_standard_error() -> None:
    random = np.random.default_rng(0)
    theirs = np.full(400, 0.5)
    ours = theirs + random.normal(0.0, 0.2, 400)
    low, high = paired_interval(judgement(ours.tolist()), judgement(theirs.tolist()))
    # Standard error of the mean difference .2 / 20 = .01, relative to .5: .02; two sides of 1.96.
    assert high - low == pytest.approx(2 * 1.96 * 0.02, rel=0.15)


def test_intervals_of_a_mean_have_the_width_of_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(3.0, 0.2, 400)
    low, high = mean_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 0.2 / math.sqrt(400), rel=0.15)
    assert mean_interval(values) == (low, high), "the same figures give the same interval"


def test_users_that_a_metric_says_nothing_of_are_left_out() -> None:
    assert mean_interval(np.array([0.5, math.nan, 0.5])) == (0.5, 0.5)
    assert all(math.isnan(end) for end in mean_interval(np.array([math.nan])))
    ours, theirs = judgement([0.5, math.nan, 0.5]), judgement([0.25, 0.1, 0.25])
    assert paired_difference(ours, theirs) == (0.25, 0.25)
    assert paired_interval(ours, theirs) == (1.0, 1.0)


def test_without_common_users_nothing_passes() -> None:
    interval = paired_interval(judgement([1.0], [1]), judgement([1.0], [2]))
    assert all(math.isnan(end) for end in interval)
    healthy = {"recall_at_50": 0.2, "coverage": 0.3}
    assert comparison_problems(healthy, healthy, interval)
