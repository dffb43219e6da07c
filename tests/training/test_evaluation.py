"""From ranked lists to averages over all users, over groups, and over half of the users."""

import math
from pathlib import Path

import numpy as np
import pytest

from features.merge import NO_VIDEO, Merged
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.catalogue import Catalogue
from training.dataset import IdLists, Sequences
from training.evaluation import evaluate, in_half, judge, judge_bundle
from training.ranked import Past, Ranked
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")

#                   rank 0 1 2 3
LISTS = np.array([[5, 7, 9, 4], [5, 6, NO_VIDEO, NO_VIDEO]])
# Ten videos. Tags: 4 -> {3}, 5 -> {1, 2}, 6 -> {2}, 7 -> {1}, others none. Uploaders: id // 2.
VIDEOS = np.arange(10)
TAGS = IdLists(VIDEOS, np.array([0, 0, 0, 0, 0, 1, 3, 4, 5, 5, 5]), np.array([3, 1, 2, 2, 1]))
CATALOGUE = Catalogue(VIDEOS, VIDEOS // 2, TAGS)
# User 1 wants 7 and 4 and 100; user 2 wants 9, which user 1's list holds.
TARGETS = IdLists(np.array([1, 2]), np.array([0, 3, 4]), np.array([4, 7, 100, 9]))


class FixedRanker:
    """User 1 has two interests and gets 5, 7, 9, 4; user 2 has no history and gets 5, 6."""

    def rank(self, past: Past, user_ids: np.ndarray, top_n: int) -> Ranked:
        lists = Merged(LISTS, np.zeros(LISTS.shape), np.array([[0, 1, 0, 0], [-1, -1, -1, -1]]))
        interests = np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]]], dtype=np.float32)
        found = np.array([[[5, 9, 4], [7, 5, NO_VIDEO]], [[NO_VIDEO] * 3] * 2])
        return Ranked(lists, interests, np.array([[True, True], [False, False]]), found)


def past() -> Past:
    """User 1 watched 4 and, as a positive, 5."""
    nobody = IdLists(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64))
    history = Sequences(np.array([1]), np.array([0, 2]), np.array([4, 5]), np.array([0, 1]), np.array([0, 1]))
    return Past(at(0), history, nobody, {})


def test_averages_go_over_all_users_with_targets() -> None:
    judgement = judge(FixedRanker(), past(), TARGETS, CATALOGUE)
    metrics = judgement.metrics
    assert metrics["recall_at_50"] == pytest.approx((2 / 3 + 0) / 2)
    assert judgement.user_ids.tolist() == [1, 2]
    assert judgement.main.tolist() == pytest.approx([2 / 3, 0])
    assert metrics["coverage"] == pytest.approx(5 / 10)  # 4, 5, 6, 7, 9
    # Shown twice: 5; once: 4, 6, 7, 9; never: five. Ascending ranks 6..9 hold 1, rank 10 holds 2, with
    # weights 2 i - 11 = 1, 3, 5, 7 and 9: (1 + 3 + 5 + 7 + 18) / (10 * 6).
    assert metrics["gini"] == pytest.approx(34 / 60)
    assert metrics["tag_diversity"] == pytest.approx((3 + 2) / 2)  # {1, 2, 3} and {1, 2}
    assert metrics["uploader_diversity"] == pytest.approx((3 + 2) / 2)  # {2, 3, 4} and {2, 3}
    assert (metrics["share_won_0"], metrics["share_won_1"]) == (0.5, 0.5)  # 4 by interest 0, 7 by interest 1
    assert (metrics["num_users"], metrics["num_targets"]) == (2, 4)


def test_figures_of_interests_leave_out_users_without_history() -> None:
    judgement = judge(FixedRanker(), past(), TARGETS, CATALOGUE)
    # Lists {5, 9, 4} and {7, 5}: 1 of 4 in common. Supplied: three places and one place.
    effective = math.exp(-(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)))
    expected = {"mean_cosine": 0.0, "searches": 2.0, "list_overlap": 1 / 4, "effective_interests": effective}
    for name, value in expected.items():
        assert judgement.metrics[name] == pytest.approx(value), name
        assert judgement.per_user[name].tolist() == pytest.approx([value, math.nan], nan_ok=True), name


def test_groups_part_the_users_and_average_their_own() -> None:
    judgement = judge(FixedRanker(), past(), TARGETS, CATALOGUE)
    by_history = judgement.groups["history"]
    assert list(by_history) == ["0", "1-9", "10-29", "30-99", "100"]
    assert by_history["1-9"]["recall_at_50"] == pytest.approx(2 / 3)
    assert by_history["1-9"]["tag_diversity"] == 3
    assert by_history["0"]["recall_at_50"] == 0
    assert by_history["0"]["mean_cosine"] is None
    assert [by_history[group]["num_users"] for group in by_history] == [1, 1, 0, 0, 0]
    assert [by_history[group]["num_targets"] for group in by_history] == [1, 3, 0, 0, 0]
    assert by_history["100"]["recall_at_50"] is None, "an empty group has no average"
    # One positive with two tags: 1 bit, below 2.
    assert judgement.groups["tag_entropy"]["0-2 bits"]["num_users"] == 1
    assert judgement.groups["tag_entropy"]["no history"]["num_users"] == 1


def test_nobody_to_judge_gives_no_average_instead_of_a_crash() -> None:
    none = IdLists(np.empty(0, dtype=np.int64), np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int64))
    judgement = judge(FixedRanker(), past(), none, CATALOGUE)
    assert judgement.metrics["num_users"] == 0
    assert judgement.metrics["mean_cosine"] is None
    assert not len(judgement.main)


def test_the_hash_of_a_user_is_the_published_one() -> None:
    # First outputs of splitmix64.c: seed 0 gives e220a8397b1dcdaf, then (seed plus the golden ratio)
    # 6e789e6aa1b965f4; seed 1234567 gives 6457827717110365317. Odd, even, odd.
    golden = 0x9E3779B97F4A7C15 - 2**64
    assert in_half(np.array([0, golden, 1234567]), "report").tolist() == [True, False, True]


def test_the_halves_part_the_users_evenly() -> None:
    users = np.arange(10_000)
    tune, report = in_half(users, "tune"), in_half(users, "report")
    assert (tune ^ report).all()
    assert in_half(users, "all").all()
    # A fair coin of 10,000 throws stays within four standard deviations of 50.
    assert abs(int(tune.sum()) - 5000) < 200


def test_half_of_a_bundle_s_users_are_judged_as_before(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=3)
    bundle = train("popularity", at(2), settings=settings, training=UNTRACKED)
    everybody = judge_bundle(bundle, at(2), at(3), settings=settings)
    parts = [judge_bundle(bundle, at(2), at(3), settings=settings, half=half) for half in ("tune", "report")]
    assert sorted(np.concatenate([part.user_ids for part in parts])) == everybody.user_ids.tolist()
    for part in parts:
        same = np.isin(everybody.user_ids, part.user_ids)
        assert part.main.tolist() == everybody.main[same].tolist()
    assert evaluate(bundle, at(2), at(3), settings=settings) == everybody.metrics
