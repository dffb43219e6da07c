"""Mixture of experts: two towers, of which the user's has E experts and K gates and gives K interests.

The user tower pools the ids of the watched videos, of their uploaders and of their tags: over the positives,
over all watches, and over the latest ones. Experts and gates: ``training/experts.py``. A video scores with
its nearest interest (assignment ``max_readout``), against the other targets of the batch with their log Q (Yi
et al., RecSys 2019), under the focal loss. One expert and one interest are the plain dual tower.

Both towers share their embeddings: the video tower is the sum of those of the video, its uploader and the
mean of its tags. Departure from Yi et al.: the video side has no hidden layers, so that both sides start in
one space, where an untrained user tower is a pooling of what was watched.

Shape letters: B users, L watches, Q queries, K interests, D dimensions, W = 3 D, N videos, G tags of a video.
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from features.positives import NUM_ACTION_BITS, Action
from features.schema import PAD_ROW
from training.action_bits import action_bits
from training.config import Assignment, InterestConfig
from training.encoder import VIDEO_SPREAD
from training.experts import Experts, expert_imbalance
from training.items import Items
from training.models import Run, Trained
from training.network import InterestNetwork, Routed
from training.pooling import pool, pool_prefixes
from training.side_features import FieldVectors, spread_fields
from training.tables import RowTable
from training.tokens import Zero
from training.trainer import Recipe, train_interests

NUM_FIELDS: Final = 3
"""Video, uploader, tags."""
NUM_POOLS: Final = 3
"""Positives, all watches, latest watches."""
OLDEST_LOGIT: Final = -30.0
"""Weights of the latest watches stop falling at e to this: any less, and the squares of a prefix vanish."""


class MixtureOfExpertsConfig(InterestConfig):
    """Size of the towers, number of experts, and how evenly they are used."""

    assignment: Assignment = "max_readout"
    """Which interest a target trains, see ``training/assignment.py``."""
    in_batch: bool = True
    """The targets of the batch are negatives too."""
    num_negatives: NonNegativeInt = 0
    """Sampled videos per step besides; a video that is never a target is pushed away by these alone."""
    focal_gamma: NonNegativeFloat = 1.0
    """Above 0, targets that are easy already weigh less: focal loss."""
    presence_weight: Zero = 0.0
    """Always 0: this network does not predict which interests get a target."""
    num_experts: PositiveInt = 4
    """Experts of the user tower. More than ``num_interests`` make interests more alike: each mixes more."""
    num_hidden: PositiveInt = 64
    """Hidden units of each expert."""
    latest_half_life_days: PositiveFloat = 1.0
    """Days after which a watch weighs half in the pool of the latest ones."""
    expert_imbalance: NonNegativeFloat = 0.1
    """Weight of the squared coefficient of variation of the experts' use; 0.1 in Shazeer et al., ICLR 2017,
    appendix C."""

    @model_validator(mode="after")
    def _interests_need_experts(self) -> "MixtureOfExpertsConfig":
        if self.num_experts == 1 and self.num_interests > 1:
            raise ValueError(f"one expert gives one interest, and num_interests={self.num_interests}")
        return self


class VideoFields(nn.Module):
    """Vectors of the video, of its uploader and the mean of those of its tags, for both towers."""

    def __init__(self, items: Items, dim: int) -> None:
        super().__init__()
        self.videos = RowTable(items.num_rows, dim, VIDEO_SPREAD)
        self.uploaders, self.tags = (FieldVectors(items, name, dim) for name in ("uploader_id", "tag_ids"))
        spread_fields((self.uploaders, self.tags), VIDEO_SPREAD)

    def forward(self, rows: Int64[Tensor, "*S"]) -> Float[Tensor, "*S 3 D"]:
        """Vectors per field; zeros for no uploader and for no tags."""
        return torch.stack([self.videos(rows), self.uploaders(rows), self.tags(rows)], dim=-2)

    def encode(
        self, rows: Int64[Tensor, " N"], uploaders: Int64[Tensor, "N _"], tags: Int64[Tensor, "N _"]
    ) -> Float[Tensor, "N 3 D"]:
        """The same for any videos; zeros for no row too."""
        videos = self.videos(rows) * (rows != PAD_ROW).unsqueeze(1)
        return torch.stack([videos, self.uploaders.pool(uploaders), self.tags.pool(tags)], dim=1)


class MixtureOfExpertsNetwork(InterestNetwork):
    """Pools the history and mixes experts over the pools, once per interest."""

    def __init__(self, items: Items, config: MixtureOfExpertsConfig) -> None:
        super().__init__(
            items.num_rows, temperature=config.temperature, learn_temperature=config.learn_temperature
        )
        self.item_dropout = config.item_dropout
        self.half_life = config.latest_half_life_days
        self.fields = VideoFields(items, config.dim)
        self.field_names = ("uploader_id", "tag_ids")
        self.gates = nn.Linear(NUM_ACTION_BITS, NUM_FIELDS * config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.experts = Experts(
            NUM_POOLS * NUM_FIELDS,
            config.dim,
            num_experts=config.num_experts,
            num_hidden=config.num_hidden,
            num_interests=config.num_interests,
            dropout=config.dropout,
        )
        self.register_buffer("bits_of_code", action_bits(config.actions), persistent=False)
        for weight in self.gates.parameters():
            nn.init.zeros_(weight)
        if config.expert_imbalance and config.num_experts > 1:
            self.penalty_weights = {"expert_imbalance": config.expert_imbalance}

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``."""
        return self.route(video_rows, actions, age_days).interests

    def route(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        tokens, real = self._watched(video_rows, actions)
        liked, latest = real & _is_positive(actions), self._latest(age_days, real)
        pools = torch.cat(
            [
                pool(tokens, torch.zeros_like(latest), liked, norm="length")[0],
                pool(tokens, torch.cat([torch.zeros_like(latest), latest], dim=2), real, norm="length")[0],
            ],
            dim=1,
        )  # (B, 3, 3 D)
        return self._mixed(pools, real.any(dim=1))

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """See ``InterestNetwork``."""
        tokens, real = self._watched(video_rows, actions)
        liked, latest = real & _is_positive(actions), self._latest(age_days, real)
        both = torch.cat([torch.zeros_like(latest), latest], dim=2)
        pools = torch.cat(
            [
                pool_prefixes(tokens, torch.zeros_like(latest), liked, norm="length"),
                pool_prefixes(tokens, both, real, norm="length"),
            ],
            dim=2,
        )  # (B, L, 3, 3 D)
        return self._mixed(pools.flatten(0, 1), real.flatten())

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return F.normalize(self.fields(rows).sum(dim=1), dim=1)

    def encode(
        self, rows: Int64[Tensor, " N"], fields: Sequence[Int64[Tensor, "N _"]]
    ) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return F.normalize(self.fields.encode(rows, *fields).sum(dim=1), dim=1)

    def field_rows(self, rows: Int64[Tensor, " N"]) -> tuple[Int64[Tensor, "N _"], ...]:
        """See ``InterestNetwork``."""
        return self.fields.uploaders.rows[rows], self.fields.tags.rows[rows]

    def _watched(
        self, video_rows: Int64[Tensor, "B L"], actions: Int64[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L W"], Bool[Tensor, "B L"]]:
        """Fields of each watch side by side, gated by what was done, and which watches are real."""
        real = video_rows != PAD_ROW
        if self.training and self.item_dropout:
            real = real & (torch.rand(real.shape, device=real.device) >= self.item_dropout)
        gates = 1 + self.gates(F.embedding(actions, self.bits_of_code))
        return self.dropout(self.fields(video_rows).flatten(2) * gates), real

    def _latest(self, age_days: Float32[Tensor, "B L"], real: Bool[Tensor, "B L"]) -> Float[Tensor, "B L 1"]:
        """Log weights of the watches, halved with every half-life before the newest."""
        newest = age_days.masked_fill(~real, torch.inf).amin(dim=1, keepdim=True)
        halvings = (age_days - newest).masked_fill(~real, 0.0) / self.half_life
        return (-halvings * torch.log(torch.tensor(2.0))).clamp(min=OLDEST_LOGIT).unsqueeze(2)

    def _mixed(self, pools: Float[Tensor, "Q 3 W"], asked: Bool[Tensor, " Q"]) -> Routed:
        interests, gates = self.experts(pools.unflatten(2, (NUM_FIELDS, -1)).flatten(1, 2))
        penalties = {"expert_imbalance": expert_imbalance(gates, asked)}
        return Routed(F.normalize(interests, dim=2), penalties=penalties)


def _is_positive(actions: Int64[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    return actions % (2 * Action.POSITIVE) >= Action.POSITIVE


Config = MixtureOfExpertsConfig


def train(config: MixtureOfExpertsConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(Recipe(config, lambda items, _: MixtureOfExpertsNetwork(items, config)), run)
