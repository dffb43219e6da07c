"""95% bootstrap intervals over users (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

Comparisons are paired: each resample draws users that both sides judged and takes both figures of each, so
that the spread between users drops out. Seeds are fixed: the same figures give the same interval.

Shape letters: B users, S resamples, C columns resampled together.
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Float

from training.evaluation import Judgement

NUM_RESAMPLES: Final = 1000
LEVEL: Final = (0.025, 0.975)
"""Quantiles of the resampled figures that bound the interval."""
SEED: Final = 7


def mean_interval(values: Float[np.ndarray, " B"], *, seed: int = SEED) -> tuple[float, float]:
    """Interval of the mean; NaN entries are left out, and without others both ends are NaN."""
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    return _bounds(_resampled_means(values[None], seed)[:, 0])


def paired_interval(
    ours: Judgement, theirs: Judgement, *, metric: str | None = None, seed: int = SEED
) -> tuple[float, float]:
    """Interval of mean(ours) / mean(theirs) - 1 over the users that both have a figure of.

    Args:
        metric: a key of ``per_user``; by default ``recall_at_50``.
    """
    pairs = _pairs(ours, theirs, metric)
    if not pairs.shape[1]:
        return math.nan, math.nan
    means = _resampled_means(pairs, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _bounds(means[:, 0] / means[:, 1] - 1)


def paired_difference(
    ours: Judgement, theirs: Judgement, *, metric: str | None = None, seed: int = SEED
) -> tuple[float, float]:
    """Interval of mean(ours) - mean(theirs), else as ``paired_interval``."""
    pairs = _pairs(ours, theirs, metric)
    if not pairs.shape[1]:
        return math.nan, math.nan
    means = _resampled_means(pairs, seed)
    return _bounds(means[:, 0] - means[:, 1])


def _pairs(ours: Judgement, theirs: Judgement, metric: str | None) -> Float[np.ndarray, "2 B"]:
    _, left, right = np.intersect1d(ours.user_ids, theirs.user_ids, assume_unique=True, return_indices=True)
    mine, other = (j.main if metric is None else j.per_user[metric] for j in (ours, theirs))
    pairs = np.stack([mine[left], other[right]])
    return pairs[:, ~np.isnan(pairs).any(axis=0)]


def _resampled_means(columns: Float[np.ndarray, "C B"], seed: int) -> Float[np.ndarray, "S C"]:
    random, num_users = np.random.default_rng(seed), columns.shape[1]
    draws = (random.integers(num_users, size=num_users) for _ in range(NUM_RESAMPLES))
    return np.array([columns[:, drawn].mean(axis=1) for drawn in draws])


def _bounds(figures: Float[np.ndarray, " S"]) -> tuple[float, float]:
    low, high = np.quantile(figures, LEVEL)
    return float(low), float(high)
