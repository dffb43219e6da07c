"""Dynamic routing on examples small enough for a pocket calculator."""

import math

import pytest
import torch

from training.capsules import route_capsules, squash

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
BOTH = torch.tensor([[True, True]])


def test_squashing_keeps_the_direction_and_shortens_below_one() -> None:
    # (3, 4) has length 5: new length 25 / 26, so each coordinate times 5 / 26. Length 1 becomes 1/2.
    vectors = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    expected = torch.tensor([[15 / 26, 20 / 26], [0.0, 0.5], [0.0, 0.0]])
    torch.testing.assert_close(squash(vectors), expected)


def test_one_round_shares_every_watch_by_the_fresh_logits() -> None:
    votes = torch.tensor([[[EAST, NORTH]]])  # the same to both interests
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]]])
    # Watch east: 3/4 to interest 0, 1/4 to interest 1; watch north: halves.
    # Sums (3/4, 1/2) and (1/4, 1/2), of length^2 13/16 and 5/16; squash: times length / (1 + length^2).
    first = math.sqrt(13 / 16) / (29 / 16)
    second = math.sqrt(5 / 16) / (21 / 16)
    expected = torch.tensor([[[0.75 * first, 0.5 * first], [0.25 * second, 0.5 * second]]])
    torch.testing.assert_close(route_capsules(votes, logits, BOTH, BOTH, num_rounds=1), expected)


def test_the_second_round_moves_watches_to_the_interest_that_agrees() -> None:
    votes = torch.tensor([[[EAST, NORTH]]])
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]]])
    first = math.sqrt(13 / 16) / (29 / 16)
    second = math.sqrt(5 / 16) / (21 / 16)
    # Agreement is the capsule's coordinate: east grows by 3/4 first and 1/4 second, north by half of each.
    east = 3 * math.exp(0.75 * first) / (3 * math.exp(0.75 * first) + math.exp(0.25 * second))
    north = math.exp(0.5 * first) / (math.exp(0.5 * first) + math.exp(0.5 * second))
    expected = squash(torch.tensor([[[east, north], [1 - east, 1 - north]]]))
    torch.testing.assert_close(route_capsules(votes, logits, BOTH, BOTH, num_rounds=2), expected)


def test_padding_is_not_routed_and_idle_interests_get_nothing() -> None:
    votes = torch.tensor([[[EAST, NORTH]]])
    real, active = torch.tensor([[False, True]]), torch.tensor([[True, False]])
    capsules = route_capsules(votes, torch.zeros(1, 2, 2), real, active, num_rounds=3)
    # All of north goes to interest 0: length 1 becomes 1/2.
    torch.testing.assert_close(capsules, torch.tensor([[[0.0, 0.5], [0.0, 0.0]]]))


def test_interests_with_votes_of_their_own_part_from_logits_of_zero() -> None:
    votes = torch.tensor([[[[2.0, 0.0], NORTH], [EAST, [0.0, 2.0]]]])  # interest 0 doubles east, 1 north
    capsules = route_capsules(votes, torch.zeros(1, 2, 2), BOTH, BOTH, num_rounds=3)[0]
    assert capsules[0, 0] > 2 * capsules[0, 1]
    assert capsules[1, 1] > 2 * capsules[1, 0]
    assert capsules[0, 0].item() == pytest.approx(capsules[1, 1].item())


def test_only_the_last_round_has_a_gradient() -> None:
    votes = torch.tensor([[[EAST, NORTH]]], requires_grad=True)
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]]])
    route_capsules(votes, logits, BOTH, BOTH, num_rounds=2)[0, 0, 0].backward()
    # The shares of interest 0 after the first round, see above, as constants.
    first, second = math.sqrt(13 / 16) / (29 / 16), math.sqrt(5 / 16) / (21 / 16)
    east = 3 * math.exp(0.75 * first) / (3 * math.exp(0.75 * first) + math.exp(0.25 * second))
    north = math.exp(0.5 * first) / (math.exp(0.5 * first) + math.exp(0.5 * second))
    fixed = torch.tensor([EAST, NORTH], requires_grad=True)
    squash(torch.tensor([east, north]) @ fixed)[0].backward()
    assert votes.grad is not None
    torch.testing.assert_close(votes.grad[0, 0], fixed.grad)


def test_a_user_without_watches_gives_zeros_and_no_gradient() -> None:
    votes = torch.tensor([[[EAST, NORTH]]], requires_grad=True)
    capsules = route_capsules(votes, torch.zeros(1, 2, 2), ~BOTH, BOTH, num_rounds=3)
    capsules.sum().backward()
    assert capsules.abs().max().item() == 0.0
    assert votes.grad is not None
    assert votes.grad.abs().max().item() == 0.0
