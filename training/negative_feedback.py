"""Loss that ranks what a user took above what the same user turned down.

Sampled negatives say "rather this than anything"; a dislike or a quick skip says "not this", of a video that
the app thought fitting: a hard negative that only this user can give. Learning from both kinds of feedback:
Zhao et al., KDD 2018 (DEERS), whose pairs of a taken and a turned down item are one negative of this softmax.

Shape letters: B users, K interests, D dimensions, T targets, N videos turned down by users of the batch.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class TurnedDown(NamedTuple):
    """N videos that users of the batch turned down, hidden from their histories."""

    vectors: Float[Tensor, "N D"]
    users: Int64[Tensor, " N"]


def turned_down_losses(
    interests: Float[Tensor, "B K D"],
    targets: Float[Tensor, "T D"],
    target_users: Int64[Tensor, " T"],
    turned_down: TurnedDown,
    temperature: float | Tensor,
) -> Float[Tensor, " T"]:
    """Cross-entropy of each target against what its own user turned down; 0 without any.

    With s_v = max_k <z_k, e_v> / temperature, the score under which the merge would show the video,

        loss_t = log(exp(s_t) + sum_{n of the same user} exp(s_n)) - s_t
    """
    taken = _best_scores(interests, targets, target_users) / temperature
    refused = _best_scores(interests, *turned_down) / temperature
    lowest = torch.finfo(refused.dtype).min
    is_own = turned_down.users == torch.arange(len(interests), device=refused.device).unsqueeze(1)  # (B, N)
    per_user = refused.expand(is_own.shape).masked_fill(~is_own, lowest).logsumexp(dim=1)
    return torch.logaddexp(per_user[target_users], taken) - taken


def _best_scores(
    interests: Float[Tensor, "B K D"], vectors: Float[Tensor, "V D"], users: Int64[Tensor, " V"]
) -> Float[Tensor, " V"]:
    return torch.einsum("vkd,vd->vk", interests[users], vectors).amax(dim=1)
