"""The metrics of ranked lists, each a pure function; docs/evaluation.md has the formulas in one place.

Shape letters: B users, N places of a list, K interests, D dimensions, T targets, V videos,
P pairs of a row and a value.
"""

from itertools import combinations
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from features.merge import NO_VIDEO

CUTOFFS: Final = (20, 50, 100, 200)
MAIN_CUTOFF: Final = 50
MAIN_METRIC: Final = f"recall_at_{MAIN_CUTOFF}"
MAX_MEAN_COSINE: Final = 0.95
"""Above it the interests of a user are one and the same: collapsed."""

Metrics = dict[str, float | None]
"""By name; ``None`` where nobody could be judged."""


def hits_of(
    lists: Int64[np.ndarray, "B N"], users: Int64[np.ndarray, " T"], targets: Int64[np.ndarray, " T"]
) -> Bool[np.ndarray, "B N"]:
    """Which places of the lists hold a target of their user.

    Args:
        users: row of ``lists`` that each target belongs to.
    """
    span = max(int(lists.max(initial=0)), int(targets.max(initial=0))) + 2
    keys = np.arange(len(lists))[:, None] * span + lists + 1  # NO_VIDEO becomes 0, which no target is
    return np.isin(keys, users * span + targets + 1)


def recall_at(
    hits: Bool[np.ndarray, "B N"], num_targets: Int64[np.ndarray, " B"], cutoff: int
) -> Float[np.ndarray, " B"]:
    """Hits among the first ``cutoff`` / targets, per user."""
    return hits[:, :cutoff].sum(axis=1) / num_targets


def ndcg_at(
    hits: Bool[np.ndarray, "B N"], num_targets: Int64[np.ndarray, " B"], cutoff: int
) -> Float[np.ndarray, " B"]:
    """Discounted hits among the first ``cutoff`` / those of the ideal list, per user.

    A hit at rank r, from 0, counts 1 / log2(r + 2); the ideal list has min(targets, cutoff) hits at the top
    (Jarvelin and Kekalainen, TOIS 2002).
    """
    gains = 1 / np.log2(np.arange(cutoff) + 2)
    ideal = gains.cumsum()[np.minimum(num_targets, cutoff) - 1]
    return hits[:, :cutoff] @ gains[: hits.shape[1]] / ideal


def num_distinct(
    rows: Int64[np.ndarray, " P"], values: Int64[np.ndarray, " P"], num_rows: int
) -> Int64[np.ndarray, " {num_rows}"]:
    """How many different values each row has."""
    different, dense = np.unique(values, return_inverse=True)
    pairs = np.unique(rows * max(len(different), 1) + dense)
    return np.bincount(pairs // max(len(different), 1), minlength=num_rows)


def gini(exposures: Int64[np.ndarray, " V"]) -> float:
    """Inequality of exposure: 0 if all videos are shown equally often, 1 - 1 / V if one takes it all.

    sum_i (2 i - V - 1) x_i / (V sum_i x_i) with x ascending and i from 1; 0 if nothing was shown.
    """
    num_videos, total = len(exposures), exposures.sum()
    if not total:
        return 0.0
    weights = 2 * np.arange(1, num_videos + 1) - num_videos - 1
    return float((weights * np.sort(exposures)).sum() / (num_videos * total))


def mean_pairwise_cosine(interests: Float32[np.ndarray, "B K D"]) -> Float[np.ndarray, " B"]:
    """Cosine between two different interests, averaged over the pairs of each user; K is at least 2."""
    cosines = pairwise_cosines(interests)
    num_interests = interests.shape[1]
    off_diagonal = cosines.sum(axis=(1, 2)) - np.trace(cosines, axis1=1, axis2=2)
    return off_diagonal / (num_interests * (num_interests - 1))


def pairwise_cosines(interests: Float32[np.ndarray, "B K D"]) -> Float32[np.ndarray, "B K K"]:
    """Cosine between every two interests of each user; an interest of zeros has 0 with all."""
    unit = interests / np.maximum(np.linalg.norm(interests, axis=2, keepdims=True), 1e-12)
    return unit @ unit.transpose(0, 2, 1)


def mean_pairwise_jaccard(
    found: Int64[np.ndarray, "B K N"], searched: Bool[np.ndarray, "B K"]
) -> Float[np.ndarray, " B"]:
    """Overlap |A and B| / |A or B| of two interests' lists, averaged over the searched pairs of each user.

    0 for a pair of empty lists; NaN for users with fewer than two searched interests.

    Args:
        found: distinct videos of each interest, ``NO_VIDEO`` where it found fewer than N.
    """
    total, num_pairs = np.zeros(len(found)), np.zeros(len(found))
    for i, j in combinations(range(found.shape[1]), 2):
        both = np.sort(np.concatenate([found[:, i], found[:, j]], axis=1), axis=1)  # (B, 2 N)
        num_common = ((both[:, 1:] == both[:, :-1]) & (both[:, 1:] != NO_VIDEO)).sum(axis=1)
        num_any = (both != NO_VIDEO).sum(axis=1) - num_common
        is_pair = searched[:, i] & searched[:, j]
        total += np.where(is_pair, num_common / np.maximum(num_any, 1), 0)
        num_pairs += is_pair
    return np.divide(total, num_pairs, out=np.full(len(found), np.nan), where=num_pairs > 0)


def effective_interests(winners: Int64[np.ndarray, "B N"], num_interests: int) -> Float[np.ndarray, " B"]:
    """exp(-sum_k p_k ln p_k) with p_k the share of the list that interest k supplied.

    1 if one interest supplied everything, K if all supplied as much; NaN for a list without any.

    Args:
        winners: interest of each place, -1 where none found it.
    """
    supplied = np.stack([(winners == k).sum(axis=1) for k in range(num_interests)], axis=1)  # (B, K)
    shares = supplied / np.maximum(supplied.sum(axis=1, keepdims=True), 1)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)
    return np.where(supplied.any(axis=1), np.exp(entropy), np.nan)
