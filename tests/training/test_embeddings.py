"""A user is the weighted mean of input vectors, searched against output vectors."""

import numpy as np
import pytest
import torch

from features.positives import Action
from features.schema import PAD_ROW
from training.embeddings import EmbeddingNetwork
from training.trended import Trended

INPUTS = np.array([[9, 9], [1, 0], [0, 2], [4, 4]], dtype=np.float32)
OUTPUTS = np.array([[0, 0], [3, 0], [0, 5], [1, 1]], dtype=np.float32)
ROWS = torch.tensor([[PAD_ROW, 1, 2, 3], [PAD_ROW, PAD_ROW, PAD_ROW, PAD_ROW]])
ACTIONS = torch.tensor([[0, Action.POSITIVE | Action.LIKED, 0, Action.DISLIKED], [0, 0, 0, 0]])


def test_positives_weigh_more_and_dislikes_and_padding_nothing() -> None:
    network = EmbeddingNetwork(INPUTS, OUTPUTS, plain_weight=0.5)
    interests = network(ROWS, ACTIONS, torch.zeros(2, 4))
    # (1 (1, 0) + .5 (0, 2)) / 1.5
    assert interests.tolist() == [[pytest.approx([2 / 3, 2 / 3])], [[0, 0]]]
    assert torch.equal(network.vectors(), torch.from_numpy(OUTPUTS))


def test_the_trend_adds_its_log_to_the_logits() -> None:
    factors = np.array([1.0, 2.0, 0.5])
    network = EmbeddingNetwork(INPUTS, OUTPUTS, plain_weight=0.5)
    trended = Trended(network, factors)
    watched = (ROWS[:1], ACTIONS[:1], torch.zeros(1, 4))
    plain = (network(*watched) @ network.vectors().T)[0, 0]
    gained = (trended(*watched) @ trended.vectors().T)[0, 0] - plain
    assert gained[1:].tolist() == pytest.approx(np.log(factors).tolist())
