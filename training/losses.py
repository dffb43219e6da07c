"""The loss of single activation: each target trains the one interest that fits it best.

Shape letters: B users, K interests, D dimensions, T targets of all users, N negatives.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


class TargetLosses(NamedTuple):
    """What each target costs, and the interest that it activates."""

    losses: Float[Tensor, " T"]
    activated: Int64[Tensor, " T"]


def single_activation_loss(
    interests: Float[Tensor, "B K D"],
    targets: Float[Tensor, "T D"],
    target_users: Int64[Tensor, " T"],
    negatives: Float[Tensor, "N D"],
    log_q: Float[Tensor, " N"],
    own: Bool[Tensor, "B N"],
    *,
    temperature: float,
) -> TargetLosses:
    """Softmax cross-entropy of each target in nats, through its best interest alone.

    k* = argmax_k <z_k, e_target>, as the label-aware attention of MIND with power infinity (Li et al.,
    CIKM 2019, section 3.4). Negatives are scored with z_k* too, so no other interest gets a gradient
    from this target. All interests share one sum over the negatives:

        loss_t = log(exp(s_t) + sum_j exp(s_j - log_q_j)) - s_t,   s_j = <z_k*, e_j> / temperature

    Only the negatives are corrected: their sum is an estimate, the target's own term is exact.

    Args:
        target_users: row of ``interests`` that each target belongs to.
        log_q: log expected count of each negative, see ``training/sampling.py``.
        own: negatives that are targets of the user (accidental hits); they count against none of them.
    """
    logits = interests @ negatives.T / temperature - log_q  # (B, K, N)
    logits = logits.masked_fill(own.unsqueeze(1), torch.finfo(logits.dtype).min)
    log_sum = logits.logsumexp(dim=2)  # (B, K)
    scores = torch.einsum("tkd,td->tk", interests[target_users], targets) / temperature  # (T, K)
    best = scores.detach().argmax(dim=1, keepdim=True)  # (T, 1)
    score = scores.gather(1, best).squeeze(1)
    losses = torch.logaddexp(log_sum[target_users].gather(1, best).squeeze(1), score) - score
    return TargetLosses(losses, best.squeeze(1))


def accidental_hits(
    target_rows: Int64[Tensor, " T"],
    target_users: Int64[Tensor, " T"],
    negative_rows: Int64[Tensor, " N"],
    num_users: int,
) -> Bool[Tensor, "{num_users} N"]:
    """Which negatives are targets of which user.

    Args:
        negative_rows: distinct, ascending.
    """
    place = torch.searchsorted(negative_rows, target_rows).clamp(max=len(negative_rows) - 1)
    hit = negative_rows[place] == target_rows
    own = torch.zeros(num_users, len(negative_rows), dtype=torch.bool)
    own[target_users[hit], place[hit]] = True
    return own
