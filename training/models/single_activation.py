"""Single activation: K interests per user, of which each target trains the one that fits it best.

The label-aware idea of MIND (Li et al., CIKM 2019) with a transformer in place of capsules: K learned
queries attend over the encoded history; k* = argmax_k <z_k, e_target> gets the loss and the gradient,
all K retrieve. Other assignments of targets to interests: ``training/assignment.py``; what keeps interests
apart, off by default: ``training/disagreement.py``.

A video has one vector for both sides plus a small difference of its own on the output side. Interests and
video vectors have length 1; the inner product is their cosine.

What else is known of a video may be fused with its vector: ``training/item_side.py``; what is known of a
user with each interest: ``training/profile_fusion.py``.

Shape letters: B users, L watches, M = 1 + L tokens, K interests, D dimensions, N videos, Q queries (users, or
prefixes of users), P attributes of users.
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import NonNegativeFloat, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from features.schema import PAD_ROW
from training.config import BelowOne
from training.disagreement import (
    attention_disagreement,
    embedding_disagreement,
    output_disagreement,
    routing_variance,
)
from training.encoder import DIFFERENCE_SPREAD, HistoryEncoder
from training.item_side import ItemSide, ItemSideConfig
from training.items import Items
from training.models import Run, Trained
from training.network import InterestNetwork, Routed
from training.pooling import pool, pool_prefixes
from training.profile_fusion import ProfileFeatures, ProfileFusion
from training.tables import RowTable
from training.trainer import Recipe, train_interests

PENALTIES: Final = (
    "embedding_disagreement",
    "attention_disagreement",
    "output_disagreement",
    "routing_variance",
)
"""Fields of the configuration that weigh a measure of ``training/disagreement.py``."""
QUERY_SPREAD: Final = 0.3
"""Standard deviation of fresh attention queries: far enough apart for each to win some targets."""


class SingleActivationConfig(ItemSideConfig):
    """Size of the network, sharpness of the softmax, and what keeps interests apart."""

    profile_features: ProfileFeatures = ()
    """Attributes of users that interests read, with commas between them; ``all`` there are."""
    history_dropout: BelowOne = 0.0
    """Share of the users of a training step whose whole history is forgotten, so that profiles learn to stand
    alone."""
    embedding_disagreement: NonNegativeFloat = 0.0
    """Weight of the cosine between the interests' projections of a watch; above 0, each interest has a
    projection of its own."""
    attention_disagreement: NonNegativeFloat = 0.0
    """Weight of the overlap of the interests' attention."""
    output_disagreement: NonNegativeFloat = 0.0
    """Weight of the cosine between a user's interests."""
    routing_variance: NonNegativeFloat = 0.0
    """Weight of the variance of an interest's attention over the watches."""

    @model_validator(mode="after")
    def _something_is_left(self) -> "SingleActivationConfig":
        if self.history_dropout and not self.profile_features:
            raise ValueError(
                f"history_dropout={self.history_dropout} leaves nothing without profile_features"
            )
        return self

    @model_validator(mode="after")
    def _pairs_need_two(self) -> "SingleActivationConfig":
        terms = self.embedding_disagreement + self.attention_disagreement + self.output_disagreement
        if terms and self.num_interests < 2:
            raise ValueError(f"disagreement compares interests, and num_interests={self.num_interests}")
        return self


class SingleActivationNetwork(InterestNetwork):
    """Pools the encoded history K times, each time with its own attention.

    Args:
        num_profile_rows: rows of the table of attributes of users; 0: the network reads none.
    """

    def __init__(self, items: Items, config: SingleActivationConfig, num_profile_rows: int = 0) -> None:
        num_rows, dim = items.num_rows, config.dim
        super().__init__(num_rows, temperature=config.temperature, learn_temperature=config.learn_temperature)
        self.encoder = HistoryEncoder(num_rows, config, ItemSide(items, config))
        self.field_names = config.side_features
        self.has_plain_negatives = config.negatives == "id"
        self.history_dropout = config.history_dropout
        self.norm = nn.LayerNorm(dim)
        self.to_hidden = nn.Linear(dim, 2 * dim, bias=False)
        self.to_logits = nn.Linear(2 * dim, config.num_interests, bias=False)
        self.offsets = nn.Parameter(0.01 * torch.randn(config.num_interests, dim))
        self.differences = RowTable(num_rows, dim, DIFFERENCE_SPREAD)
        self.projections = nn.Parameter(torch.eye(dim).repeat(config.num_interests, 1, 1))
        self.projections.requires_grad_(config.embedding_disagreement > 0)
        self.penalty_weights = {
            name: weight for name in PENALTIES if (weight := float(getattr(config, name))) > 0
        }
        self.to_presence = nn.Linear(dim, 1) if config.presence_weight else None
        self.profile = (
            ProfileFusion(num_profile_rows, config.num_interests, dim) if num_profile_rows else None
        )
        nn.init.normal_(self.to_logits.weight, std=QUERY_SPREAD)
        if self.projections.requires_grad:
            nn.init.normal_(self.projections, std=dim**-0.5)

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
        *profile: Int64[Tensor, "B P"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``."""
        tokens, logits, real = self._attend(video_rows, actions, age_days)
        return self._finish(pool(tokens, logits, real, norm="length")[0], *profile)

    def route(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
        *profile: Int64[Tensor, "B P"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        tokens, logits, real = self._attend(video_rows, actions, age_days)
        pooled, _ = pool(tokens, logits, real, norm="length")
        interests = self._finish(pooled, *profile)
        return Routed(interests, self._presence(pooled), self._penalties(tokens, logits, real, interests))

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
        *profile: Int64[Tensor, "B P"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        tokens, logits, real = self._attend(video_rows, actions, age_days)
        pooled = pool_prefixes(tokens, logits, real, norm="length")[:, 1:].flatten(0, 1)  # without the start
        interests = self._finish(
            pooled, *(part.repeat_interleave(real.shape[1] - 1, dim=0) for part in profile)
        )
        return Routed(interests, self._presence(pooled), self._penalties(tokens, logits, real, interests))

    @property
    def items(self) -> ItemSide:
        """The item side, which the history reads too."""
        return self.encoder.videos

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return F.normalize(self.items(rows, self.differences(rows)), dim=1)

    def negative_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        if self.has_plain_negatives:
            return F.normalize(self.items.ids(rows) + self.differences(rows), dim=1)
        return self.item_vectors(rows)

    def encode(
        self, rows: Int64[Tensor, " N"], fields: Sequence[Int64[Tensor, "N _"]]
    ) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return F.normalize(self.items.encode(rows, fields, self.differences(rows)), dim=1)

    def field_rows(self, rows: Int64[Tensor, " N"]) -> tuple[Int64[Tensor, "N _"], ...]:
        """See ``InterestNetwork``."""
        return () if self.items.side is None else self.items.side.rows_of(rows)

    def _attend(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> tuple[Float[Tensor, "B M D"], Float[Tensor, "B M K"], Bool[Tensor, "B M"]]:
        """Tokens, the attention logits of each interest over them, and which are real."""
        tokens, real = self.encoder(self._remembered(video_rows), actions, age_days)
        return tokens, self.to_logits(torch.tanh(self.to_hidden(self.norm(tokens)))), real

    def _remembered(self, video_rows: Int64[Tensor, "B L"]) -> Int64[Tensor, "B L"]:
        """In training, no watch of a random share of the users."""
        if not self.training or not self.history_dropout:
            return video_rows
        kept = torch.rand(len(video_rows), 1, device=video_rows.device) >= self.history_dropout
        return torch.where(kept, video_rows, PAD_ROW)

    def _finish(
        self, pooled: Float[Tensor, "Q K D"], *profile: Int64[Tensor, "Q P"]
    ) -> Float[Tensor, "Q K D"]:
        if self.projections.requires_grad:
            pooled = torch.einsum("qkd,kde->qke", pooled, self.projections)
        if self.profile is not None:
            pooled = self.profile(pooled, *profile)
        return F.normalize(pooled + self.offsets, dim=2)

    def _penalties(
        self,
        tokens: Float[Tensor, "B M D"],
        logits: Float[Tensor, "B M K"],
        real: Bool[Tensor, "B M"],
        interests: Float[Tensor, "Q K D"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The measures that have a weight; attention is that of the whole history."""
        measures: dict[str, Float[Tensor, ""]] = {}
        _, weights = pool(tokens, logits, real)
        for name in self.penalty_weights:
            if name == "embedding_disagreement":
                projected = torch.einsum("bmd,kde->bmke", tokens, self.projections)
                measures[name] = embedding_disagreement(projected, real)
            elif name == "attention_disagreement":
                measures[name] = attention_disagreement(weights)
            elif name == "routing_variance":
                measures[name] = routing_variance(weights, real)
            else:
                measures[name] = output_disagreement(interests)
        return measures

    def _presence(self, pooled: Float[Tensor, "Q K D"]) -> Float[Tensor, "Q K"] | None:
        return None if self.to_presence is None else self.to_presence(pooled).squeeze(2)


Config = SingleActivationConfig


def train(config: SingleActivationConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(
        Recipe(
            config,
            lambda items, profile: SingleActivationNetwork(items, config, profile.num_rows if profile else 0),
            profile_features=config.profile_features,
        ),
        run,
    )
