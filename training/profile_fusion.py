"""A user's profile, added to each interest as far as a gate of that interest opens.

z_k = h_k + g_k * p with p the sum of the vectors of the profile's values and

    g_k = sigmoid(<a_k, h_k> + <b_k, p> + c_k)

where h_k is what the history says. A value without a row adds nothing; a user without history is p and what
the network says of an empty history. Fresh vectors are near zero: training begins as without a profile.

Shape letters: B users, K interests, D dimensions, P attributes.
"""

from typing import Annotated, Final

import torch
from jaxtyping import Float, Int64
from pydantic import BeforeValidator
from torch import Tensor, nn

from features.schema import PAD_ROW

SHARED_SPEED: Final = 10.0
"""Factor on the stored vectors, as in ``training/side_features.py``: few rows, that all users share, learn
at the dense rate, and Adam's steps do not depend on the scale of the gradient."""
FRESH_SPREAD: Final = 0.01


def _names(value: object) -> object:
    """Overrides turn ``none`` into ``None``."""
    if value is None:
        return ()
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


ProfileFeatures = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Field of a configuration: names of attributes."""


class ProfileFusion(nn.Module):
    """Adds a gated profile to pooled histories.

    Args:
        num_rows: rows of the table of values, row 0 included.
    """

    def __init__(self, num_rows: int, num_interests: int, dim: int) -> None:
        super().__init__()
        self.values = nn.Embedding(num_rows, dim, padding_idx=PAD_ROW)
        self.of_history = nn.Parameter(torch.zeros(num_interests, dim))
        self.of_profile = nn.Parameter(torch.zeros(num_interests, dim))
        self.openness = nn.Parameter(torch.zeros(num_interests))
        nn.init.normal_(self.values.weight, std=FRESH_SPREAD / SHARED_SPEED)
        with torch.no_grad():
            self.values.weight[PAD_ROW] = 0.0

    def forward(
        self, pooled: Float[Tensor, "B K D"], profile: Int64[Tensor, "B P"]
    ) -> Float[Tensor, "B K D"]:
        """``pooled`` with the profile added."""
        known = (profile != PAD_ROW).unsqueeze(2)
        vectors = SHARED_SPEED * (self.values(profile) * known).sum(dim=1)  # (B, D)
        logits = (pooled * self.of_history).sum(dim=2) + vectors @ self.of_profile.T + self.openness
        return pooled + torch.sigmoid(logits).unsqueeze(2) * vectors.unsqueeze(1)
