"""Action codes as bits, for layers that learn a weight per action."""

import torch
from jaxtyping import Float
from torch import Tensor

from features.positives import NUM_ACTION_BITS


def action_bits() -> Float[Tensor, "C bits"]:
    """Row c holds the bits of action code c, the lowest first."""
    codes = torch.arange(2**NUM_ACTION_BITS).unsqueeze(1)
    return ((codes >> torch.arange(NUM_ACTION_BITS)) & 1).float()
