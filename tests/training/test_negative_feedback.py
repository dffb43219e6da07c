"""Targets against what the same user turned down, on numbers that can be worked out on paper."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from features.positives import Action
from features.vocabulary import Vocabulary
from tests.training.networks import NUM_ROWS, K, small_network
from tests.training.test_examples import POSITIVE, sequences
from training.activation import ActivationRecord
from training.config import InterestConfig
from training.examples import HiddenSets
from training.loop import Plan, fit
from training.negative_feedback import TurnedDown, turned_down_losses
from training.sampling import NegativeSampler

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]


def losses(refused: list[tuple[int, list[float]]], *, temperature: float = 1.0) -> list[float]:
    """Users 0 and 1 take (1, 0); user 0 has the interests east and north, user 1 west twice."""
    interests = torch.tensor([[EAST, NORTH], [WEST, WEST]])
    vectors = torch.tensor([vector for _, vector in refused]).reshape(len(refused), 2)
    users = torch.tensor([user for user, _ in refused], dtype=torch.int64)
    targets, takers = torch.tensor([EAST, EAST]), torch.tensor([0, 1])
    return turned_down_losses(interests, targets, takers, TurnedDown(vectors, users), temperature).tolist()


def test_a_target_competes_with_what_its_own_user_turned_down_through_the_best_interest() -> None:
    # User 0 scores 1 for the target, and through the other interest 1 for (0, 1): a tie, log 2.
    # User 1 turned nothing down.
    assert losses([(0, NORTH)]) == pytest.approx([math.log(2), 0])
    # Scores -1 for the target and 1 for (-1, 0), over .5: log(1 + exp(4)).
    assert losses([(1, WEST)], temperature=0.5) == pytest.approx([0, math.log1p(math.exp(4))])


def test_several_videos_add_up_and_none_cost_nothing() -> None:
    assert losses([(0, NORTH), (0, EAST)])[0] == pytest.approx(math.log(3))
    assert losses([]) == [0, 0]


def test_negative_weight_is_refused_where_nothing_is_hidden() -> None:
    with pytest.raises(ValidationError, match="negative_weight needs objective=set_to_set"):
        InterestConfig(negative_weight=1.0, objective="next_item")


def gap(negative_weight: float) -> float:
    """How far a training ranks what users took above what they turned down: mean difference of scores.

    Everybody watches some of videos 1-12 long. Half of the users do so with 13-24 too, the others skip them.
    """
    random = np.random.default_rng(0)
    users = []
    for user in range(64):
        taken, other = random.permutation(12)[:6] + 1, random.permutation(12)[:6] + 13
        action = POSITIVE if user % 2 else int(Action.QUICK_SKIP)
        users.append(
            [
                pair
                for a, b in zip(taken, other, strict=True)
                for pair in ((int(a), POSITIVE), (int(b), action))
            ]
        )
    config = InterestConfig(
        batch_size=16, epochs=6, num_negatives=64, warmup_steps=2, num_interests=K, history_length=12,
        negative_weight=negative_weight,
    )  # fmt: skip
    examples = HiddenSets(sequences(*users), Vocabulary(np.arange(1, NUM_ROWS)), config)
    torch.manual_seed(0)
    network = small_network()
    fit(
        network, examples, NegativeSampler(torch.ones(NUM_ROWS), 64, 0.5), config,
        plan=Plan(config.epochs), record=ActivationRecord(np.arange(64), K, 2.0),
    )  # fmt: skip
    skippers = np.arange(0, 64, 2)
    batch = examples.make(skippers, np.random.default_rng(1))
    inputs = (torch.from_numpy(part) for part in (batch.video_rows, batch.actions, batch.age_days))
    with torch.inference_mode():
        scores = (network(*inputs) @ network.vectors().T).amax(dim=1)  # (B, R)
    return float(scores[:, 1:13].mean() - scores[:, 13:25].mean())


def test_training_ranks_what_users_turn_down_further_below_what_they_take() -> None:
    without, with_feedback = gap(0.0), gap(3.0)
    assert with_feedback > without + 0.1
