"""MIND: K interest capsules per user, grouped by dynamic routing with one shared bilinear map.

Li et al., CIKM 2019, section 4.2 (behaviour-to-interest routing); targets choose by label-aware attention
(section 4.4). Since all interests share the map S, only the fresh routing logits tell them apart. The paper
draws these anew from a normal distribution for every user; here they are one table, by place from the newest
watch, drawn once and kept with the weights: the same history gives the same interests, exported too.

A user with n watches gets K' = max(1, min(K, floor(log2 n))) interests (equation 9). The bundle holds K for
everyone, so the others are copies of the last valid one: they add nothing to the candidates, and since ties
go to the first, no positive of the history activates them and the pruning before the search drops them.
In the label-aware attention a copy counts once more for the interest that it copies.

Departures besides: no user profile and no fully connected layers after the capsules; watches are gated by
what was done (``training/tokens.py``); cosines, and the power of the attention as a factor on them
(``training/assignment.py``).

Shape letters: B users, L watches, K interests, D dimensions, N videos.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from training.capsules import route_capsules
from training.config import Assignment
from training.models import Run, Trained
from training.token_networks import TokensNetwork
from training.tokens import TokensConfig
from training.trainer import Recipe, train_interests

LOGIT_SPREAD: Final = 1.0
"""Standard deviation of the fresh routing logits, as in the code of ComiRec's authors; MIND names none."""
MAP_SCALE: Final = 10.0
"""The fresh map is this times the identity, so that agreement soon outweighs the fresh logits. On a log with
planted interests (one seed), a scale of 1, 5, 10 gave a mean cosine between interests of .95, .83, .71."""


class MindConfig(TokensConfig):
    """Size of the network, rounds of routing, and sharpness of the softmax."""

    assignment: Assignment = "label_aware"
    """Which interest a target trains, see ``training/assignment.py``."""
    num_rounds: PositiveInt = 3
    """Rounds of routing."""
    is_dynamic: bool = True
    """Users with few watches get fewer interests."""


class MindNetwork(TokensNetwork):
    """Routes watches to capsules."""

    def __init__(self, num_rows: int, config: MindConfig) -> None:
        super().__init__(num_rows, config)
        self.bilinear = nn.Linear(config.dim, config.dim, bias=False)
        self.bilinear.weight.data.copy_(MAP_SCALE * torch.eye(config.dim))
        self.num_rounds = config.num_rounds
        fresh = LOGIT_SPREAD * torch.randn(config.num_interests, config.history_length)
        self.register_buffer("fresh_logits", fresh)
        needed = 2 ** torch.arange(1, config.num_interests + 1)
        needed[0] = 0
        self.register_buffer("needed", needed if config.is_dynamic else torch.zeros_like(needed))

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``."""
        tokens, real = self.tokens(video_rows, actions)
        active = self.active(real)
        length, last = tokens.shape[1], self.fresh_logits.shape[1] - 1
        places = torch.arange(length - 1, -1, -1, device=tokens.device).clamp(max=last)
        logits = self.fresh_logits[:, places].unsqueeze(0)  # (1, K, L)
        votes = self.bilinear(tokens).unsqueeze(1)  # (B, 1, L, D)
        capsules = route_capsules(votes, logits, real, active, self.num_rounds)
        valid = (active.long().cumsum(dim=1) - 1).unsqueeze(2).expand(capsules.shape)
        return F.normalize(capsules.gather(1, valid), dim=2)

    def active(self, real: Bool[Tensor, "B L"]) -> Bool[Tensor, "B K"]:
        """The first K' interests of each user: number k needs 2^k watches, the first none."""
        return real.sum(dim=1, keepdim=True) >= self.needed


Config = MindConfig


def train(config: MindConfig, run: Run) -> Trained:
    """See ``training.trainer``."""
    return train_interests(Recipe(config, lambda items, _: MindNetwork(items.num_rows, config)), run)
