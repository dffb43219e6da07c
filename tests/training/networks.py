"""The networks under test; a new model is one more line in ``NETWORKS``."""

from collections.abc import Callable
from typing import Final

import torch

from training.config import Objective
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.network import InterestNetwork

NUM_ROWS = 40
K, D = 3, 8
SMALL: Final = {"num_interests": K, "dim": D, "dropout": 0.0, "history_length": 6}

NETWORKS: Final[dict[str, Callable[[int, Objective], InterestNetwork]]] = {
    "single_activation": lambda num_rows, objective: SingleActivationNetwork(
        num_rows, SingleActivationConfig.model_validate(SMALL | {"objective": objective})
    ),
}


def small_network(
    name: str = "single_activation", *, num_rows: int = NUM_ROWS, objective: Objective = "set_to_set"
) -> InterestNetwork:
    """A network of eight dimensions, shaken so that no weight is at its fresh zero."""
    network = NETWORKS[name](num_rows, objective)
    with torch.no_grad():
        for weight in network.parameters():  # tables too
            weight.add_(0.2 * torch.randn_like(weight))
    return network
