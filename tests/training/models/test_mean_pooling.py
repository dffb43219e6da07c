"""Mean pooling averages what was watched."""

import pytest
import torch

from features.errors import BadInputError
from features.schema import PAD_ROW
from training.config import parse_overrides
from training.models.mean_pooling import MeanPoolingConfig, MeanPoolingNetwork

ROWS = torch.tensor([[PAD_ROW, 1, 2, 2]])


@pytest.fixture
def network() -> MeanPoolingNetwork:
    """Videos east (1, 0) and north (0, 1.5)."""
    config = MeanPoolingConfig.model_validate({"dim": 2, "dropout": 0.0})
    network = MeanPoolingNetwork(3, config)
    network.tokens.videos.weight.copy_(torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.5]]))
    return network


def test_the_interest_points_to_the_mean(network: MeanPoolingNetwork) -> None:
    # (1, 0) + 2 * (0, 1.5) = (1, 3), of length sqrt 10.
    expected = torch.tensor([[[1.0, 3.0]]]) / 10**0.5
    torch.testing.assert_close(network(ROWS, torch.zeros_like(ROWS), torch.zeros(1, 4)), expected)


def test_the_mean_of_every_prefix(network: MeanPoolingNetwork) -> None:
    routed = network.route_prefixes(ROWS, torch.zeros_like(ROWS), torch.zeros(1, 4))
    # Nothing; (1, 0); (1, 1.5) of length sqrt 3.25; (1, 3) of length sqrt 10.
    expected = torch.tensor([[0, 0], [1, 0], [1 / 3.25**0.5, 1.5 / 3.25**0.5], [1 / 10**0.5, 3 / 10**0.5]])
    torch.testing.assert_close(routed.interests[:, 0], expected)


def test_more_than_one_interest_is_refused() -> None:
    with pytest.raises(BadInputError, match="num_interests"):
        parse_overrides(MeanPoolingConfig, ["num_interests=2"])
    assert parse_overrides(MeanPoolingConfig, ["num_interests=1"]).num_interests == 1
