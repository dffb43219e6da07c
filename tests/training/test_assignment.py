"""Which interest each target trains."""

import math

import pytest
import torch

from training.assignment import assign

QUERIES = torch.tensor([0, 0, 1])
# Targets 0 and 1 of query 0 both like interest 0 best; target 2 belongs to query 1.
SCORES = torch.tensor([[0.9, 0.5], [0.8, 0.1], [0.2, 0.3]])


def test_hard_takes_the_nearest_interest_of_each_target() -> None:
    assert assign("hard", SCORES, QUERIES).tolist() == [[1, 0], [1, 0], [0, 1]]


def test_one_to_one_gives_no_interest_to_two_targets_of_a_query() -> None:
    # Query 0: .9 + .1 = 1.0 against .5 + .8 = 1.3, so the first target yields.
    assert assign("one_to_one", SCORES, QUERIES).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_one_to_one_leaves_targets_over_when_there_are_more_than_interests() -> None:
    scores = torch.tensor([[0.9], [0.8]])
    assert assign("one_to_one", scores, torch.tensor([4, 4])).tolist() == [[1.0], [0.0]]


def test_label_aware_weights_follow_the_scores_and_carry_a_gradient() -> None:
    scores = torch.tensor([[0.0, 1.0]], requires_grad=True)
    weights = assign("label_aware", scores, torch.tensor([0]), power=math.log(4))
    assert weights.tolist() == [pytest.approx([0.2, 0.8])]
    weights[0, 1].backward()
    assert scores.grad is not None


def test_a_great_power_makes_label_aware_hard() -> None:
    soft = assign("label_aware", SCORES, QUERIES, power=1000.0)
    assert torch.allclose(soft, assign("hard", SCORES, QUERIES))
