"""REMI is ComiRec-SA with hard negatives and a penalty on the variance of its attention."""

import pytest
import torch

from features.schema import PAD_ROW
from training.models.comirec import ComirecConfig, SelfAttentionNetwork
from training.models.remi import RemiConfig, RemiNetwork

TWO = {"num_interests": 2, "dim": 2, "dropout": 0.0, "history_length": 3}
HISTORY = torch.tensor([[PAD_ROW, 1, 2]]), torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3)


@pytest.fixture
def network() -> RemiNetwork:
    """Interest 0 looks at everything alike, interest 1 at video 1 alone."""
    network = RemiNetwork(3, RemiConfig.model_validate(TWO)).eval()
    network.tokens.videos.weight.copy_(torch.tensor([[9.0, 9.0], [9.0, 0.0], [-9.0, 0.0]]))
    with torch.no_grad():
        network.to_hidden.weight.zero_()[0, 0] = 1.0  # tanh 9 = 1 for video 1, -1 for video 2
        network.to_logits.weight.zero_()[1, 0] = 20.0
    return network


def test_the_penalty_is_the_variance_of_the_attention(network: RemiNetwork) -> None:
    # Two watches, even share 1/2. Interest 0: (1/2, 1/2), deviations 0. Interest 1: (1, 0), deviations 1/2,
    # variance 1/4, times the square of two watches 1. Mean of the interests 1/2.
    for routed in (network.route(*HISTORY), network.route_prefixes(*HISTORY)):
        assert routed.penalties["routing_variance"].item() == pytest.approx(0.5)


def test_training_sees_the_interests_that_serving_sees(network: RemiNetwork) -> None:
    torch.testing.assert_close(network.route(*HISTORY).interests, network(*HISTORY))


def test_both_terms_are_on_and_can_be_switched_off() -> None:
    config = RemiConfig()
    assert config.hard_beta > 0
    assert RemiNetwork(3, config).penalty_weights == {"routing_variance": config.routing_variance}
    assert RemiNetwork(3, RemiConfig(routing_variance=0.0)).penalty_weights == {}


def test_without_its_terms_it_is_comirec() -> None:
    torch.manual_seed(7)
    ours = RemiNetwork(3, RemiConfig.model_validate(TWO)).eval()
    theirs = SelfAttentionNetwork(3, ComirecConfig.model_validate(TWO)).eval()
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(*HISTORY), theirs(*HISTORY))
