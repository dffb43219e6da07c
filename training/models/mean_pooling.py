"""Mean pooling: one interest per user, the mean of the watched videos' vectors.

The simplest neural recall (YouTube DNN, Covington et al., RecSys 2016, section 3.2, "averaging the
embeddings"), which every routing has to beat. Departures: no hidden layers after the mean, so that history
and videos share one space as in the other reference models; user features and the age of the example are not
read; watches are gated by what was done (``training/tokens.py``).

Shape letters: B users, L watches, D dimensions, N videos.
"""

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional as F

from training.models import Run, Trained
from training.network import InterestNetwork, Routed
from training.pooling import pool, pool_prefixes
from training.tokens import One, TokensConfig, WatchTokens
from training.trainer import Recipe, train_interests


class MeanPoolingConfig(TokensConfig):
    """Size of the network and sharpness of the softmax."""

    num_interests: One = 1
    """Always 1."""


class MeanPoolingNetwork(InterestNetwork):
    """Averages the history."""

    def __init__(self, num_rows: int, config: MeanPoolingConfig) -> None:
        super().__init__(num_rows, temperature=config.temperature, learn_temperature=config.learn_temperature)
        self.tokens = WatchTokens(num_rows, config)

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B 1 D"]:
        """See ``InterestNetwork``."""
        pooled, _ = pool(*self._even(video_rows, actions))
        return F.normalize(pooled, dim=2)

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        pooled = pool_prefixes(*self._even(video_rows, actions)).flatten(0, 1)
        return Routed(F.normalize(pooled, dim=2))

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return self.tokens.item_vectors(rows)

    def _even(
        self, video_rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B L 1"], Bool[Tensor, "B L"]]:
        """Tokens, the same logit for each, and which are real."""
        tokens, real = self.tokens(video_rows, actions)
        return tokens, torch.zeros_like(tokens[:, :, :1]), real


Config = MeanPoolingConfig


def train(config: MeanPoolingConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(Recipe(config, lambda items: MeanPoolingNetwork(items.num_rows, config)), run)
