"""ComiRec: K interests per user, by self-attentive pooling (SA) or by dynamic routing (DR).

Cen et al., KDD 2020. SA is equation 5: attention softmax(W2 tanh(W1 h)) per interest over the history; places
are added for the attention and left out of the pooled vectors, as in the authors' code. DR routes each watch
to interests through matrices of their own (section 3.1, algorithm 1), from logits of zero. Targets train the
interest with the greatest inner product (equation 6), which is the assignment ``hard``. The controllable
merge of section 3.3 is ``features/merge.py``.

Departures: interests and videos have length 1; watches are gated by what was done (``training/tokens.py``);
places count from the oldest watch read, so that one pass serves all prefixes; the matrices of DR are one per
interest, not one per interest and place, since histories have any length; fresh weights are wider, see below.

Shape letters: B users, L watches, K interests, D dimensions, N videos.
"""

from typing import Final, Literal

import torch
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from training.capsules import route_capsules
from training.encoder import VIDEO_SPREAD
from training.models import Run, Trained
from training.token_networks import PooledNetwork, TokensNetwork
from training.tokens import TokensConfig
from training.trainer import Recipe, train_interests

HIDDEN_FACTOR: Final = 4
"""Width of the attention's hidden layer, in D; that of the authors' code."""
LOGIT_SPREAD: Final = 2.0
"""About the standard deviation of fresh attention logits: far enough apart for each interest to win."""
MATRIX_SPREAD: Final = 0.5
"""Spread of the fresh matrices of DR around the identity, in 1 / sqrt(D)."""


class ComirecConfig(TokensConfig):
    """Size of the network, kind of routing, and sharpness of the softmax."""

    routing: Literal["sa", "dr"] = "sa"
    """Self-attentive pooling, or dynamic routing (which has no pass over all prefixes)."""
    num_rounds: PositiveInt = 3
    """Rounds of dynamic routing."""


class SelfAttentionNetwork(PooledNetwork):
    """Pools the history K times, each time with its own attention (ComiRec-SA)."""

    def __init__(self, num_rows: int, config: TokensConfig) -> None:
        super().__init__(num_rows, config)
        dim, hidden = config.dim, HIDDEN_FACTOR * config.dim
        self.places = nn.Embedding(config.history_length, dim)
        self.to_hidden = nn.Linear(dim, hidden, bias=False)
        self.to_logits = nn.Linear(hidden, config.num_interests, bias=False)
        nn.init.zeros_(self.places.weight)
        nn.init.normal_(self.to_hidden.weight, std=1 / (VIDEO_SPREAD * dim**0.5))
        nn.init.normal_(self.to_logits.weight, std=LOGIT_SPREAD / hidden**0.5)

    def attend(
        self, video_rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B L K"], Bool[Tensor, "B L"]]:
        """See ``PooledNetwork``."""
        tokens, real = self.tokens(video_rows, actions)
        number = (real.long().cumsum(dim=1) - 1).clamp(0, self.places.num_embeddings - 1)
        return tokens, self.to_logits(torch.tanh(self.to_hidden(tokens + self.places(number)))), real


class DynamicRoutingNetwork(TokensNetwork):
    """Routes watches to capsules, each through its own matrix (ComiRec-DR)."""

    def __init__(self, num_rows: int, config: ComirecConfig) -> None:
        super().__init__(num_rows, config)
        dim, num_interests = config.dim, config.num_interests
        spread = MATRIX_SPREAD * dim**-0.5 * torch.randn(num_interests, dim, dim)
        self.matrices = nn.Parameter(torch.eye(dim) + spread)
        self.num_rounds = config.num_rounds

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``."""
        tokens, real = self.tokens(video_rows, actions)
        votes = tokens.unsqueeze(1) @ self.matrices  # (B, K, L, D)
        logits = torch.zeros_like(votes[:, :, :, 0])
        active = torch.ones_like(logits[:, :, 0], dtype=torch.bool)
        return F.normalize(route_capsules(votes, logits, real, active, self.num_rounds), dim=2)


Config = ComirecConfig


def train(config: ComirecConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    network = SelfAttentionNetwork if config.routing == "sa" else DynamicRoutingNetwork
    return train_interests(Recipe(config, lambda items, _: network(items.num_rows, config)), run)
