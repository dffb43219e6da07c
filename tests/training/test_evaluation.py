"""Metrics against tables that can be worked out by hand."""

import math

import numpy as np
import pytest

from features.merge import NO_VIDEO, Merged
from tests.training.logs import at
from training.dataset import IdLists, Sequences
from training.evaluation import Catalogue, hits_of, judge, mean_pairwise_cosine, ndcg_at, recall_at
from training.ranking import Past, Ranked

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


def test_ndcg_compares_with_as_many_hits_at_the_top_as_there_are_targets() -> None:
    gain = [1 / math.log2(rank + 2) for rank in range(4)]
    # User 0: hits at ranks 1 and 3; the ideal list has its three targets at ranks 0, 1, 2.
    expected = (gain[1] + gain[3]) / (gain[0] + gain[1] + gain[2])
    assert ndcg_at(HITS, NUM_TARGETS, 4).tolist() == pytest.approx([expected, 0])
    # Within two places the ideal list has two hits, not three and not the one that was found.
    assert ndcg_at(HITS, NUM_TARGETS, 2)[0] == pytest.approx(gain[1] / (gain[0] + gain[1]))


def test_cosine_is_averaged_over_pairs_of_different_interests() -> None:
    half = math.sqrt(0.5)
    interests = np.array([[[2, 0], [0, 3], [half, half]], [[1, 0], [1, 0], [1, 0]]], dtype=np.float32)
    # User 0: east-north 0, each with north-east sqrt(1/2). User 1: all the same.
    assert mean_pairwise_cosine(interests).tolist() == pytest.approx([2 * half / 3, 1.0], abs=1e-6)


class FixedRanker:
    """User 1 has two interests and gets 5, 7, 9, 4; user 2 has no history and gets 5, 6."""

    def rank(self, past: Past, user_ids: np.ndarray, top_n: int) -> Ranked:
        lists = Merged(LISTS, np.zeros(LISTS.shape), np.array([[0, 1, 0, 0], [-1, -1, -1, -1]]))
        interests = np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]]], dtype=np.float32)
        return Ranked(lists, interests, np.array([[True, True], [False, False]]))


def nothing_past() -> Past:
    no_ids = np.empty(0, dtype=np.int64)
    start = np.zeros(1, dtype=np.int64)
    return Past(at(0), Sequences(no_ids, start, no_ids, no_ids, no_ids), IdLists(no_ids, start, no_ids), {})


def test_averages_over_all_users_with_targets() -> None:
    targets = IdLists(np.array([1, 2]), np.array([0, 3, 4]), np.array([4, 7, 100, 9]))
    # Tags: 5 -> {1, 2}, 6 -> {2}, 7 -> {1}, 9 -> none, 4 -> {3}.
    tags = IdLists(np.array([4, 5, 6, 7]), np.array([0, 1, 3, 4, 5]), np.array([3, 1, 2, 2, 1]))
    judgement = judge(FixedRanker(), nothing_past(), targets, Catalogue(10, tags))
    metrics = judgement.metrics
    assert metrics["recall_at_50"] == pytest.approx((2 / 3 + 0) / 2)
    assert judgement.main.tolist() == pytest.approx([2 / 3, 0])
    assert metrics["coverage"] == pytest.approx(5 / 10)  # 4, 5, 6, 7, 9
    assert metrics["tag_diversity"] == pytest.approx((3 + 2) / 2)  # {1, 2, 3} and {1, 2}
    assert metrics["mean_cosine"] == pytest.approx(0.0), "the user without history does not count"
    assert metrics["searches"] == pytest.approx(2.0)
    assert (metrics["share_won_0"], metrics["share_won_1"]) == (0.5, 0.5)  # 4 by interest 0, 7 by interest 1
    assert (metrics["num_users"], metrics["num_targets"]) == (2, 4)


def test_nobody_to_judge_gives_no_average_instead_of_a_crash() -> None:
    none = IdLists(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64))
    metrics = judge(FixedRanker(), nothing_past(), none, Catalogue(10, none)).metrics
    assert metrics["num_users"] == 0
    assert metrics["mean_cosine"] is None
