"""The networks under test; a new model is one more line."""

import torch

from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.network import InterestNetwork

NUM_ROWS = 40
K, D = 3, 8


def small_network(num_rows: int = NUM_ROWS) -> InterestNetwork:
    """A network with three interests of eight dimensions, shaken so that no weight is at its fresh zero."""
    config = SingleActivationConfig(num_interests=K, dim=D, num_heads=2, dropout=0.0, history_length=6)
    network = SingleActivationNetwork(num_rows, config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return network
