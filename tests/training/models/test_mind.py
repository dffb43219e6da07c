"""MIND gives users with few watches few interests; the others are copies that cost nothing."""

import numpy as np
import pytest
import torch

from features.capacity import Pruner
from features.positives import Action
from tests.training.networks import NUM_ROWS, SMALL, small_network
from training.models.mind import MindConfig, MindNetwork
from training.network import Extractor


@pytest.mark.parametrize(
    ("num_watches", "num_active"),
    [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (15, 3), (16, 4), (31, 4), (32, 4)],
)
def test_the_number_of_interests_is_the_logarithm_of_the_watches(num_watches: int, num_active: int) -> None:
    # max(1, min(4, floor(log2 n))): 2^2 = 4, 2^3 = 8, 2^4 = 16.
    network = MindNetwork(3, MindConfig.model_validate(SMALL | {"num_interests": 4}))
    real = (torch.arange(32) >= 32 - num_watches).unsqueeze(0)
    assert network.active(real).tolist() == [[k < num_active for k in range(4)]]


def test_interests_beyond_are_copies_of_the_last_valid_one_and_are_not_searched() -> None:
    torch.manual_seed(7)
    extractor = Extractor(small_network("mind"))
    rows = torch.arange(3, 10).unsqueeze(0)  # seven watches: two interests of three
    interests, activation = extractor(rows, torch.full_like(rows, int(Action.POSITIVE)), torch.zeros(1, 7))
    assert (interests[0, 0] - interests[0, 1]).abs().max() > 1e-3
    assert torch.equal(interests[0, 1], interests[0, 2])
    assert activation[0, 2].item() == 0.0
    pruner = Pruner(np.full(3, 1 / 3))
    kept = pruner.keep(np.array([1]), interests.detach().numpy(), activation.detach().numpy(), np.array([7]))
    assert kept[0].tolist().count(True) == 2
    assert not kept[0, 2]


def test_every_user_gets_all_interests_when_told_so() -> None:
    torch.manual_seed(7)
    network = MindNetwork(NUM_ROWS, MindConfig.model_validate(SMALL | {"is_dynamic": False})).eval()
    interests = network(torch.tensor([[3, 4]]), torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2))
    assert not torch.equal(interests[0, 1], interests[0, 2])


def test_routing_is_not_random_and_its_fresh_logits_travel_with_the_weights() -> None:
    torch.manual_seed(7)
    network, other = small_network("mind").eval(), small_network("mind").eval()
    history = torch.arange(3, 11).unsqueeze(0), torch.zeros(1, 8, dtype=torch.int64), torch.zeros(1, 8)
    assert torch.equal(network(*history), network(*history))
    assert not torch.allclose(network(*history), other(*history))
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(*history), other(*history))


def test_the_first_round_shares_watches_by_the_logits_of_their_place_from_the_newest() -> None:
    config = MindConfig.model_validate(
        {"num_interests": 2, "dim": 2, "dropout": 0.0, "history_length": 2, "num_rounds": 1}
    )
    network = MindNetwork(3, config.model_copy(update={"is_dynamic": False})).eval()
    network.tokens.videos.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    network.fresh_logits.copy_(torch.tensor([[0.0, 3.0], [0.0, 1.0]]).log().clamp(min=-50))
    rows = torch.tensor([[1, 2]])
    # Logits of the newest (video 2): both log 0, so halves; of the one before (video 1): log 3 and log 1,
    # so 3/4 and 1/4. Interests towards (3/4, 1/2) and (1/4, 1/2), that is (3, 2) and (1, 2).
    expected = torch.tensor([[[3 / 13**0.5, 2 / 13**0.5], [1 / 5**0.5, 2 / 5**0.5]]])
    torch.testing.assert_close(network(rows, torch.zeros_like(rows), torch.zeros(1, 2)), expected)


def test_targets_choose_by_label_aware_attention() -> None:
    assert MindConfig().assignment == "label_aware"
