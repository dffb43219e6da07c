"""The loss of single activation, on numbers that can be worked out on paper."""

import math

import pytest
import torch
from torch import Tensor

from training.losses import accidental_hits, single_activation_loss

ONE_USER = torch.tensor([0])
EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
NO_CORRECTION = torch.zeros(2)
NOT_OWN = torch.zeros(1, 2, dtype=torch.bool)


def loss_of(
    interests: Tensor,
    target: list[float],
    negatives: list[list[float]],
    *,
    log_q: Tensor = NO_CORRECTION,
    own: Tensor = NOT_OWN,
    temperature: float = 1.0,
) -> Tensor:
    return single_activation_loss(
        interests,
        torch.tensor([target]),
        ONE_USER,
        torch.tensor(negatives),
        log_q,
        own,
        temperature=temperature,
    ).losses


def test_target_and_negatives_are_scored_with_the_interest_nearest_to_the_target() -> None:
    interests = torch.tensor([[EAST, [0.0, 0.5]]])  # (B=1, K=2, D=2)
    # The target (1, 0) is nearest to interest 0. Scores with it: target 1, negatives 0 and -1.
    expected = math.log(math.e + 1 + math.exp(-1)) - 1
    assert loss_of(interests, EAST, [NORTH, [-1.0, 0.0]]).item() == pytest.approx(expected)


def test_a_popular_negative_counts_less() -> None:
    interests = torch.tensor([[EAST]])
    # Both negatives score 0; one was expected twice as often as the other: exp(0 - log 2) = 1/2.
    expected = math.log(math.e + 1 / 2 + 1) - 1
    loss = loss_of(interests, EAST, [NORTH, NORTH], log_q=torch.tensor([math.log(2), 0.0]))
    assert loss.item() == pytest.approx(expected)


def test_the_target_itself_is_not_corrected_so_that_all_videos_give_the_full_softmax() -> None:
    interests, videos = torch.tensor([[[0.6, 0.8]]]), torch.tensor([EAST, NORTH, [-1.0, 0.0]])
    own = torch.tensor([[True, False, False]])  # the target is among "all videos"
    full = torch.nn.functional.cross_entropy(videos @ interests[0, 0], torch.tensor(0))
    loss = loss_of(interests, EAST, videos.tolist(), log_q=torch.zeros(3), own=own)
    assert loss.item() == pytest.approx(full.item())


def test_gradient_reaches_the_best_interest_and_no_other() -> None:
    interests = torch.tensor([[EAST, NORTH, [-1.0, 0.0]]], requires_grad=True)
    loss_of(interests, [0.6, 0.8], [EAST, [0.0, -1.0]]).sum().backward()
    assert interests.grad is not None
    changed = interests.grad[0].abs().sum(dim=1) > 0
    assert changed.tolist() == [False, True, False]


def test_the_loss_names_the_interest_that_each_target_activates() -> None:
    targets = torch.tensor([NORTH, EAST, NORTH])
    arguments = torch.tensor([[EAST, NORTH]]), targets, torch.tensor([0, 0, 0]), torch.zeros(1, 2)
    found = single_activation_loss(
        *arguments, torch.zeros(1), torch.zeros(1, 1, dtype=torch.bool), temperature=1.0
    )
    assert found.activated.tolist() == [1, 0, 1]


def test_accidental_hits_do_not_count() -> None:
    interests = torch.tensor([[EAST]])
    own = torch.tensor([[True, False]])
    # The first negative is the target again and left out: only exp(0) of the second remains.
    assert loss_of(interests, EAST, [EAST, NORTH], own=own).item() == pytest.approx(math.log(math.e + 1) - 1)


def test_any_target_of_the_user_is_an_accidental_hit_for_this_user_only() -> None:
    # User 0 hides the videos 3 and 7, user 1 hides 5; negatives are 3, 5, 6.
    own = accidental_hits(torch.tensor([3, 7, 5]), torch.tensor([0, 0, 1]), torch.tensor([3, 5, 6]), 2)
    assert own.tolist() == [[True, False, False], [False, True, False]]


def test_temperature_sharpens_the_softmax() -> None:
    interests = torch.tensor([[EAST]])
    expected = math.log(math.exp(1 / 0.1) + 2) - 1 / 0.1
    assert loss_of(interests, EAST, [NORTH, NORTH], temperature=0.1).item() == pytest.approx(
        expected, abs=1e-5
    )


def test_each_target_is_scored_with_the_interests_of_its_own_user() -> None:
    interests = torch.tensor([[EAST], [NORTH]])  # (B=2, K=1, D=2)
    loss = single_activation_loss(
        interests,
        torch.tensor([NORTH, EAST]),
        torch.tensor([1, 1]),
        torch.tensor([[0.0, 0.0]]),
        torch.zeros(1),
        torch.zeros(2, 1, dtype=torch.bool),
        temperature=1.0,
    ).losses
    # User 1 points north: score 1 for the first target, 0 for the second; the negative scores 0.
    assert loss.tolist() == pytest.approx([math.log(math.e + 1) - 1, math.log(2)])


def test_all_negatives_masked_leaves_no_loss_and_no_nan() -> None:
    own = torch.ones(1, 2, dtype=torch.bool)
    assert loss_of(torch.tensor([[EAST]]), EAST, [EAST, NORTH], own=own).item() == 0.0
