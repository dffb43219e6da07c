"""A watch history as one vector per watch, without a transformer: the input of the reference models.

Their papers read clicks, where every item of the history was liked. Our histories hold watches of any
outcome, so each video vector is scaled by a gate that depends on what was done, the same as in
``training/encoder.py``; fresh gates are 1, which is the paper's input. How long ago a watch was is not read.

Shape letters: B users, L watches (newest last, padded on the left), D dimensions.
"""

from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from features.positives import NUM_ACTION_BITS
from features.schema import PAD_ROW
from training.action_bits import action_bits
from training.config import InterestConfig
from training.encoder import VIDEO_SPREAD
from training.tables import RowTable

Zero = Annotated[float, Field(ge=0, le=0)]
Nothing = Annotated[int, Field(ge=0, le=0)]
One = Annotated[int, Field(ge=1, le=1)]


class TokensConfig(InterestConfig):
    """What a network over ``WatchTokens`` is told."""

    presence_weight: Zero = 0.0
    """Always 0: these networks do not predict which interests get a target."""


class WatchTokens(nn.Module):
    """Gated video vectors of a history.

    Args:
        num_rows: rows of the video table, padding included.
    """

    def __init__(self, num_rows: int, config: InterestConfig) -> None:
        super().__init__()
        self.item_dropout = config.item_dropout
        self.videos = RowTable(num_rows, config.dim, VIDEO_SPREAD)
        self.gates = nn.Linear(NUM_ACTION_BITS, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("bits_of_code", action_bits(config.actions), persistent=False)
        for weight in self.gates.parameters():
            nn.init.zeros_(weight)

    def forward(
        self, video_rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"]]:
        """Tokens, and which of them are real; training forgets ``item_dropout`` of them."""
        real = video_rows != PAD_ROW
        if self.training and self.item_dropout:
            real = real & (torch.rand(real.shape, device=real.device) >= self.item_dropout)
        gates = 1 + self.gates(F.embedding(actions, self.bits_of_code))
        return self.dropout(self.videos(video_rows) * gates), real

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """The same table as the history's, as vectors of length 1."""
        return F.normalize(self.videos(rows), dim=1)
