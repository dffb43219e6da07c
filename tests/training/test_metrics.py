"""Metrics against tables that can be worked out by hand."""

import math

import numpy as np
import pytest

from features.merge import NO_VIDEO
from training.metrics import (
    effective_interests,
    gini,
    hits_of,
    mean_pairwise_cosine,
    mean_pairwise_jaccard,
    ndcg_at,
    num_distinct,
    recall_at,
)

#                   rank 0 1 2 3
LISTS = np.array([[5, 7, 9, 4], [5, 6, NO_VIDEO, NO_VIDEO]])
# User 0 wants 7 and 4 and 100; user 1 wants 9, which user 0's list holds.
USERS, TARGETS = np.array([0, 0, 0, 1]), np.array([7, 4, 100, 9])
HITS = np.array([[False, True, False, True], [False, False, False, False]])
NUM_TARGETS = np.array([3, 1])


def test_a_hit_is_a_target_of_the_same_user() -> None:
    assert hits_of(LISTS, USERS, TARGETS).tolist() == HITS.tolist()


def test_a_missing_place_is_no_hit() -> None:
    assert not hits_of(np.array([[NO_VIDEO]]), np.array([0]), np.array([0])).any()


@pytest.mark.parametrize(
    ("cutoff", "expected"), [(1, [0, 0]), (2, [1 / 3, 0]), (4, [2 / 3, 0]), (50, [2 / 3, 0])]
)
def test_recall_is_hits_over_all_targets(cutoff: int, expected: list[float]) -> None:
    assert recall_at(HITS, NUM_TARGETS, cutoff).tolist() == pytest.approx(expected)


def test_each_cutoff_counts_its_own_places() -> None:
    hits = np.zeros((1, 200), dtype=bool)
    hits[0, [19, 20, 49, 50, 99, 100, 199]] = True
    # Of 10 targets: one within 20, three within 50, five within 100, seven within 200.
    found = [recall_at(hits, np.array([10]), k)[0] for k in (20, 50, 100, 200)]
    assert found == pytest.approx([0.1, 0.3, 0.5, 0.7])


def test_ndcg_compares_with_as_many_hits_at_the_top_as_there_are_targets() -> None:
    gain = [1 / math.log2(rank + 2) for rank in range(4)]
    # User 0: hits at ranks 1 and 3; the ideal list has its three targets at ranks 0, 1, 2.
    expected = (gain[1] + gain[3]) / (gain[0] + gain[1] + gain[2])
    assert ndcg_at(HITS, NUM_TARGETS, 4).tolist() == pytest.approx([expected, 0])
    # Within two places the ideal list has two hits, not three and not the one that was found.
    assert ndcg_at(HITS, NUM_TARGETS, 2)[0] == pytest.approx(gain[1] / (gain[0] + gain[1]))


def test_values_are_counted_once_per_row() -> None:
    # Row 0: 7, 7, 3. Row 1 nothing. Row 2: 7.
    rows, values = np.array([0, 0, 0, 2]), np.array([7, 7, 3, 7])
    assert num_distinct(rows, values, num_rows=3).tolist() == [2, 0, 1]
    nothing = np.empty(0, dtype=np.int64)
    assert num_distinct(nothing, nothing, num_rows=2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("exposures", "expected"),
    [
        ([3, 3, 3, 3], 0.0),
        ([8, 0, 0, 0], 3 / 4),  # one of four takes it all: 1 - 1/4
        # Ascending 1, 2, 5 with weights 2i - 4 = -2, 0, 2: (-2 + 10) / (3 * 8).
        ([2, 5, 1], 8 / 24),
        # Half of the differences of all ordered pairs over V^2 and the mean: (1 + 4 + 3) * 2 / (2 * 9 * 8/3).
        ([5, 1, 2], 8 / 24),
        ([0, 0], 0.0),
    ],
)
def test_gini_is_the_inequality_of_exposure(exposures: list[int], expected: float) -> None:
    assert gini(np.array(exposures)) == pytest.approx(expected)


def test_cosine_is_averaged_over_pairs_of_different_interests() -> None:
    half = math.sqrt(0.5)
    interests = np.array([[[2, 0], [0, 3], [half, half]], [[1, 0], [1, 0], [1, 0]]], dtype=np.float32)
    # User 0: east-north 0, each with north-east sqrt(1/2). User 1: all the same.
    assert mean_pairwise_cosine(interests).tolist() == pytest.approx([2 * half / 3, 1.0], abs=1e-6)


def test_overlap_is_averaged_over_pairs_of_searched_interests() -> None:
    found = np.array(
        [
            [[1, 2, 3], [3, 2, 4], [9, 8, 7]],
            [[1, 2, 3], [3, 2, 4], [9, 8, 7]],
            [[1, 2, 3], [3, 2, 4], [9, 8, 7]],
            [[1, NO_VIDEO, NO_VIDEO], [1, 2, NO_VIDEO], [NO_VIDEO, NO_VIDEO, NO_VIDEO]],
        ]
    )
    searched = np.array([[True, True, True], [True, True, False], [True, False, False], [True, True, True]])
    # Pairs of user 0: {1,2,3} and {2,3,4} share 2 of 4, the others nothing. User 1: the first pair only.
    # User 2: no pair. User 3: {1} and {1,2} share 1 of 2; an empty list shares nothing with either.
    expected = [(2 / 4 + 0 + 0) / 3, 2 / 4, math.nan, (1 / 2 + 0 + 0) / 3]
    assert mean_pairwise_jaccard(found, searched).tolist() == pytest.approx(expected, nan_ok=True)


def test_empty_lists_overlap_nowhere() -> None:
    found = np.full((1, 2, 3), NO_VIDEO)
    assert mean_pairwise_jaccard(found, np.ones((1, 2), dtype=bool)).tolist() == [0.0]


def test_effective_interests_are_as_many_equal_ones_as_have_the_same_entropy() -> None:
    winners = np.array([[0, 1, 2, 3], [2, 2, 2, 2], [0, 0, 1, -1], [0, 0, 0, 1], [-1, -1, -1, -1]])
    # User 2: shares 2/3 and 1/3 of the three places that an interest filled; user 3: 3/4 and 1/4.
    two_thirds = math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))
    three_quarters = math.exp(-(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)))
    found = effective_interests(winners, num_interests=4).tolist()
    assert found == pytest.approx([4.0, 1.0, two_thirds, three_quarters, math.nan], nan_ok=True)
