"""Measures of disagreement on tables that can be checked by eye, and what each does in training."""

import math

import numpy as np
import pytest
import torch

from features.vocabulary import Vocabulary
from tests.training.networks import SMALL, items_of
from tests.training.test_examples import POSITIVE, sequences
from training.activation import ActivationRecord
from training.disagreement import (
    attention_disagreement,
    embedding_disagreement,
    output_disagreement,
    routing_variance,
)
from training.examples import HiddenSets
from training.loop import Plan, fit
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.sampling import NegativeSampler

REAL = torch.tensor([[False, True, True]])


def test_embeddings_are_compared_per_watch_and_padding_does_not_count() -> None:
    projected = torch.tensor([[[[9.0, 0.0], [9.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [2.0, 0.0]]]])
    # The first token is padding; cosines of the others are 0 and 1.
    assert embedding_disagreement(projected, REAL).item() == pytest.approx(0.5)


def test_attention_on_the_same_watches_counts_and_on_others_does_not() -> None:
    apart = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    together = torch.tensor([[[0.0, 0.0], [0.5, 0.5], [0.5, 0.5]]])
    assert attention_disagreement(apart).item() == 0.0
    assert attention_disagreement(together).item() == pytest.approx(0.5)  # .5 * .5 + .5 * .5


def test_outputs_are_compared_by_their_cosine() -> None:
    interests = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 3.0]]])
    # Cosines of the pairs: 1/sqrt 2, 0, 1/sqrt 2.
    assert output_disagreement(interests).item() == pytest.approx(math.sqrt(2) / 3)


def test_even_attention_has_no_variance_and_attention_to_one_of_n_has_n_minus_one() -> None:
    even = torch.tensor([[[0.0], [0.5], [0.5]]])
    single = torch.tensor([[[0.0], [1.0], [0.0]]])
    assert routing_variance(even, REAL).item() == 0.0
    assert routing_variance(single, REAL).item() == pytest.approx(1.0)


def trained_measure(name: str, weight: float) -> float:
    """The measure after a short training with this weight on it; the seed is the same for all."""
    config = SingleActivationConfig.model_validate(
        SMALL
        | {"batch_size": 16, "num_negatives": 16, name: weight, "learning_rate": 1e-2, "warmup_steps": 2}
    )
    random = np.random.default_rng(0)
    users = [[(int(v), POSITIVE) for v in random.permutation(19)[:8] + 1 + 19 * (u % 2)] for u in range(64)]
    examples = HiddenSets(sequences(*users), Vocabulary(np.arange(1, 40)), config)
    torch.manual_seed(0)
    network = SingleActivationNetwork(items_of(40), config)
    record = ActivationRecord(np.arange(64), config.num_interests, 1.0)
    fit(network, examples, NegativeSampler(torch.ones(40), 16, 0.5), config, plan=Plan(10), record=record)
    batch = examples.make(np.arange(64), np.random.default_rng(1))
    with torch.inference_mode():
        routed = network.route(*map(torch.from_numpy, (batch.video_rows, batch.actions, batch.age_days)))
    return routed.penalties[name].item()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["embedding_disagreement", "attention_disagreement", "output_disagreement", "routing_variance"]
)
def test_each_term_alone_lowers_its_own_measure(name: str) -> None:
    without, heavy = trained_measure(name, 1e-9), trained_measure(name, 3.0)
    assert heavy < without - 0.02
