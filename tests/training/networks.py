"""The networks under test; a new model is one more line in ``NETWORKS``."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from training.config import Objective
from training.items import Field, Items
from training.models.comirec import ComirecConfig, DynamicRoutingNetwork, SelfAttentionNetwork
from training.models.mean_pooling import MeanPoolingConfig, MeanPoolingNetwork
from training.models.mind import MindConfig, MindNetwork
from training.models.mixture_of_experts import MixtureOfExpertsConfig, MixtureOfExpertsNetwork
from training.models.remi import RemiConfig, RemiNetwork
from training.models.sasrec import SasrecConfig, SasrecNetwork
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.network import InterestNetwork

NUM_ROWS = 40
K, D = 3, 8
SMALL: Final = {"num_interests": K, "dim": D, "dropout": 0.0, "history_length": 6}
ONE_INTEREST: Final = SMALL | {"num_interests": 1}


def items_of(num_rows: int) -> Items:
    """Every third video has no uploader; of five, two have no tag and the others up to two."""
    rows = np.arange(num_rows)
    tags = np.stack(
        [np.where(rows % 5 < 3, 1 + rows % 4, 0), np.where(rows % 5 < 1, 1 + rows % 3, 0)], axis=1
    )
    tags[0] = 0
    one = {name: Field(rows[:, None] % 4, 4) for name in ("category", "language", "duration", "published")}
    return Items(num_rows, {"uploader_id": Field(rows[:, None] % 3, 3), "tag_ids": Field(tags, 5), **one})


NETWORKS: Final[dict[str, Callable[[int, Objective], InterestNetwork]]] = {
    "comirec_dr": lambda num_rows, objective: DynamicRoutingNetwork(
        num_rows, ComirecConfig.model_validate(SMALL | {"objective": objective, "routing": "dr"})
    ),
    "comirec_sa": lambda num_rows, objective: SelfAttentionNetwork(
        num_rows, ComirecConfig.model_validate(SMALL | {"objective": objective})
    ),
    "mean_pooling": lambda num_rows, objective: MeanPoolingNetwork(
        num_rows, MeanPoolingConfig.model_validate(ONE_INTEREST | {"objective": objective})
    ),
    "mind": lambda num_rows, objective: MindNetwork(
        num_rows, MindConfig.model_validate(SMALL | {"objective": objective})
    ),
    "mixture_of_experts": lambda num_rows, objective: MixtureOfExpertsNetwork(
        items_of(num_rows), MixtureOfExpertsConfig.model_validate(SMALL | {"objective": objective})
    ),
    "remi": lambda num_rows, objective: RemiNetwork(
        num_rows, RemiConfig.model_validate(SMALL | {"objective": objective})
    ),
    "sasrec": lambda num_rows, objective: SasrecNetwork(
        num_rows, SasrecConfig.model_validate(ONE_INTEREST | {"objective": objective})
    ),
    "single_activation": lambda num_rows, objective: SingleActivationNetwork(
        items_of(num_rows), SingleActivationConfig.model_validate(SMALL | {"objective": objective})
    ),
    "single_activation_side": lambda num_rows, objective: SingleActivationNetwork(
        items_of(num_rows),
        SingleActivationConfig.model_validate(
            SMALL | {"objective": objective, "side_features": "uploader_id, tag_ids,category"}
        ),
    ),
    "single_activation_gated": lambda num_rows, objective: SingleActivationNetwork(
        items_of(num_rows),
        SingleActivationConfig.model_validate(
            SMALL
            | {"objective": objective, "side_features": "tag_ids,duration"}
            | {"side_fusion": "gated", "tag_pooling": "attention", "id_dropout": 0.3}
        ),
    ),
}
SINGLE: Final = frozenset({"mean_pooling", "sasrec"})
"""Networks with one interest per user by definition."""
AGELESS: Final = frozenset({"comirec_dr", "comirec_sa", "mean_pooling", "mind", "remi"})
"""Networks that do not read how long ago a watch was, like their papers."""


def small_network(
    name: str = "single_activation", *, num_rows: int = NUM_ROWS, objective: Objective = "set_to_set"
) -> InterestNetwork:
    """A network of eight dimensions, shaken so that no weight is at its fresh zero."""
    network = NETWORKS[name](num_rows, objective)
    with torch.no_grad():
        for weight in network.parameters():  # tables too
            weight.add_(0.2 * torch.randn_like(weight))
    return network
