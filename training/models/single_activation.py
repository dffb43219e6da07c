"""Single activation: K interests per user, of which each target trains the one that fits it best.

The label-aware idea of MIND (Li et al., CIKM 2019) with a transformer in place of capsules: K learned
queries attend over the encoded history; k* = argmax_k <z_k, e_target> gets the loss and the gradient,
all K retrieve.

Shape letters: B users, L watches, M = 1 + L tokens, K interests, D dimensions, V videos.
"""

import torch
from jaxtyping import Float, Float32, Int64
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from training.config import TrainConfig
from training.encoder import HistoryEncoder
from training.models import Run, Trained
from training.network import InterestNetwork
from training.trainer import Recipe, train_interests


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
    """Divides the cosine in the softmax; smaller is sharper."""


class SingleActivationNetwork(InterestNetwork):
    """History to interests, and the table of video vectors that they are compared with."""

    def __init__(self, num_rows: int, config: SingleActivationConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        dim, hidden = config.dim, config.dim * 2
        self.encoder = HistoryEncoder(
            num_rows, dim, num_layers=config.num_layers, num_heads=config.num_heads, dropout=config.dropout
        )
        self.outputs = nn.Embedding(num_rows, dim)
        self.norm = nn.LayerNorm(dim)
        self.to_hidden = nn.Linear(dim, hidden, bias=False)
        self.to_logits = nn.Linear(hidden, config.num_interests, bias=False)
        self.to_interest = nn.Linear(dim, dim)
        self.offsets = nn.Parameter(torch.randn(config.num_interests, dim) * 0.1)
        self.bias = nn.Embedding(num_rows, 1)
        nn.init.normal_(self.outputs.weight, std=0.1)
        nn.init.zeros_(self.bias.weight)

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        tokens, real = self.encoder(video_rows, actions, age_days)
        tokens = self.norm(tokens)
        logits = self.to_logits(torch.tanh(self.to_hidden(tokens)))  # (B, M, K)
        logits = logits.masked_fill(~real.unsqueeze(2), torch.finfo(logits.dtype).min)
        weights = logits.softmax(dim=1)
        pooled = weights.transpose(1, 2) @ tokens  # (B, K, D)
        return F.normalize(self.to_interest(pooled) + self.offsets, dim=2)

    def vectors(self) -> Tensor:
        return F.normalize(self.outputs.weight, dim=1)


Config = SingleActivationConfig


def train(config: SingleActivationConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    recipe = Recipe(config, config.history_length, lambda num_rows: SingleActivationNetwork(num_rows, config))
    return train_interests(recipe, run)
