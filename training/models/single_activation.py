"""Single activation: K interests per user, of which each target trains the one that fits it best.

The label-aware idea of MIND (Li et al., CIKM 2019) with a transformer in place of capsules: K learned
queries attend over the encoded history; k* = argmax_k <z_k, e_target> gets the loss and the gradient,
all K retrieve.

A video has one vector for both sides plus a small difference of its own on the output side. Interests and
video vectors have length 1; the inner product is their cosine.

Shape letters: B users, L watches, M = 1 + L tokens, K interests, D dimensions, R rows of the video table.
"""

from typing import Final

import torch
from jaxtyping import Float, Float32, Int64
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from training.config import TrainConfig
from training.encoder import HistoryEncoder
from training.models import Run, Trained
from training.network import InterestNetwork
from training.trainer import Recipe, train_interests

DIFFERENCE_SPREAD: Final = 1e-4
"""Standard deviation of a fresh output difference: both sides start as one."""
QUERY_SPREAD: Final = 0.3
"""Standard deviation of fresh attention queries: far enough apart for each to win some targets."""


class SingleActivationConfig(TrainConfig):
    """Size of the network and sharpness of the softmax."""

    num_interests: PositiveInt = 4
    """Interest vectors per user (K)."""
    dim: PositiveInt = 64
    """Width of interest and video vectors (D)."""
    history_length: PositiveInt = 100
    """Newest visible watches that are read (L)."""
    num_layers: NonNegativeInt = 1
    """Transformer layers over the history."""
    num_heads: PositiveInt = 2
    """Attention heads per layer."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of the activations that training drops."""
    temperature: PositiveFloat = 0.07
    """Divides the scores in the softmax; smaller is sharper."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "SingleActivationConfig":
        if self.dim % self.num_heads:
            raise ValueError(f"dim={self.dim} is no multiple of num_heads={self.num_heads}")
        return self


class SingleActivationNetwork(InterestNetwork):
    """Pools the encoded history K times, each time with its own attention.

    Args:
        num_rows: rows of the video table, padding included.
    """

    def __init__(self, num_rows: int, config: SingleActivationConfig) -> None:
        super().__init__()
        dim = config.dim
        self.temperature = config.temperature
        self.encoder = HistoryEncoder(
            num_rows,
            dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            dropout=config.dropout,
        )
        self.norm = nn.LayerNorm(dim)
        self.to_hidden = nn.Linear(dim, 2 * dim, bias=False)
        self.to_logits = nn.Linear(2 * dim, config.num_interests, bias=False)
        self.offsets = nn.Parameter(0.01 * torch.randn(config.num_interests, dim))
        self.differences = nn.Embedding(num_rows, dim)
        nn.init.normal_(self.to_logits.weight, std=QUERY_SPREAD)
        nn.init.normal_(self.differences.weight, std=DIFFERENCE_SPREAD)

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``."""
        tokens, real = self.encoder(video_rows, actions, age_days)
        logits = self.to_logits(torch.tanh(self.to_hidden(self.norm(tokens))))  # (B, M, K)
        logits = logits.masked_fill(~real.unsqueeze(2), torch.finfo(logits.dtype).min)
        weights = logits.softmax(dim=1)
        # A mean of n videos has length about 1 / sqrt(n); divided by that, long histories speak as loud.
        weights = weights / weights.square().sum(dim=1, keepdim=True).sqrt()
        pooled = weights.transpose(1, 2) @ tokens + self.offsets  # (B, K, D)
        return F.normalize(pooled, dim=2)

    def vectors(self) -> Float[Tensor, "R D"]:
        """See ``InterestNetwork``."""
        return F.normalize(self.encoder.videos.weight + self.differences.weight, dim=1)

    def video_tables(self) -> list[nn.Parameter]:
        """See ``InterestNetwork``."""
        return [self.encoder.videos.weight, self.differences.weight]


Config = SingleActivationConfig


def train(config: SingleActivationConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    recipe = Recipe(config, config.history_length, lambda num_rows: SingleActivationNetwork(num_rows, config))
    return train_interests(recipe, run)
