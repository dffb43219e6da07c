"""Mean pooling: one interest per user, the mean of the watched videos' vectors.

The simplest neural recall (YouTube DNN, Covington et al., RecSys 2016, section 3.2, "averaging the
embeddings"), which every routing has to beat. Departures: no hidden layers after the mean, so that history
and videos share one space as in the other reference models; user features and the age of the example are not
read; watches are gated by what was done (``training/tokens.py``).

Shape letters: B users, L watches, D dimensions, N videos.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from training.models import Run, Trained
from training.token_networks import PooledNetwork
from training.tokens import One, TokensConfig
from training.trainer import Recipe, train_interests


class MeanPoolingConfig(TokensConfig):
    """Size of the network and sharpness of the softmax."""

    num_interests: One = 1
    """Always 1."""


class MeanPoolingNetwork(PooledNetwork):
    """Averages the history."""

    def attend(
        self, video_rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B L 1"], Bool[Tensor, "B L"]]:
        """See ``PooledNetwork``: the same logit for each watch."""
        tokens, real = self.tokens(video_rows, actions)
        return tokens, torch.zeros_like(tokens[:, :, :1]), real


Config = MeanPoolingConfig


def train(config: MeanPoolingConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(Recipe(config, lambda items, _: MeanPoolingNetwork(items.num_rows, config)), run)
