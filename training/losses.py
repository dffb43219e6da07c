"""Losses of targets against shared negatives, through the interests that an assignment chooses.

Shape letters: Q queries (a user, or a prefix of a user's history), K interests, D dimensions, T targets of
all queries, B users, N negatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from training.assignment import assign
from training.config import Assignment, Loss

Reduce = Callable[[Float[Tensor, "*S N"], Bool[Tensor, "*#S N"]], Float[Tensor, "*S"]]
"""Scores of the negatives, and which are accidental hits, to one number per row."""


@dataclass(frozen=True, slots=True)
class LossShape:
    """Everything about the loss that is no tensor."""

    temperature: float | Tensor = 1.0
    """Divides all scores."""
    assignment: Assignment = "hard"
    power: float = 1.0
    """Sharpness of the assignment ``label_aware``."""
    focal_gamma: float = 0.0
    """Exponent of the factor (1 - p)^gamma, which lowers the weight of targets that are easy already (Lin et
    al., ICCV 2017, equation 4, on the softmax)."""
    focal_alpha: float = 0.5
    """Weight of the target in ``sigmoid_focal``; its negatives together weigh 1 - alpha."""
    label_smoothing: float = 0.0
    """Share of the label that is spread over the catalogue (Szegedy et al., CVPR 2016, section 7)."""
    hard_beta: float = 0.0
    """Weight exp(beta * score) of a negative: interest-aware hard negatives of REMI (Xie et al., RecSys 2023,
    section 3.2)."""


class Targets(NamedTuple):
    """T targets of Q queries."""

    vectors: Float[Tensor, "T D"]
    queries: Int64[Tensor, " T"]
    """Row of the interests that each target belongs to."""
    users: Int64[Tensor, " T"]
    """Row of ``Candidates.own`` of each target."""


class Candidates(NamedTuple):
    """N negatives that all queries share."""

    vectors: Float[Tensor, "N D"]
    log_q: Float[Tensor, " N"]
    """Log expected count of each, see ``training/sampling.py``."""
    own: Bool[Tensor, "B N"]
    """Negatives that are targets of a user (accidental hits); they count against none of them."""


class TargetLosses(NamedTuple):
    """What each target costs in nats, and how far it activates each interest."""

    losses: Float[Tensor, " T"]
    weights: Float[Tensor, "T K"]
    """See ``training/assignment.py``; a target whose row is zero costs nothing."""


def sampled_softmax(
    interests: Float[Tensor, "Q K D"], targets: Targets, candidates: Candidates, shape: LossShape
) -> TargetLosses:
    """Cross-entropy of each target against the negatives.

    With z_t the interest that the assignment gives to target t, and s_j = <z_t, e_j> / temperature,

        loss_t = log(exp(s_t) + sum_j exp(s_j - log_q_j)) - s_t

    Under ``hard``, k* = argmax_k <z_k, e_t>, z_t = z_k*: no other interest gets a gradient from the target,
    neither through its score nor through the negatives. Only the negatives are corrected by log_q: their sum
    is an estimate, the target's own term is exact.
    """
    positive, weights = _positive_logits(interests, targets, shape)
    log_sum = _over_negatives(
        interests,
        targets,
        candidates,
        shape,
        weights,
        lambda scores, own: _corrected(scores, own, candidates, shape).logsumexp(dim=-1),
    )
    losses = torch.logaddexp(log_sum, positive) - positive
    if shape.focal_gamma:
        losses = (1 - (-losses).exp()).clamp(min=1e-6) ** shape.focal_gamma * losses
    if shape.label_smoothing:
        spread = torch.logaddexp(log_sum, positive) - _mean_logit(
            interests, targets, candidates, shape, weights
        )
        losses = losses.lerp(spread, shape.label_smoothing)
    return TargetLosses(losses * weights.detach().sum(dim=1), weights.detach())


def sigmoid_focal(
    interests: Float[Tensor, "Q K D"], targets: Targets, candidates: Candidates, shape: LossShape
) -> TargetLosses:
    """Focal loss of target and negatives as yes-no questions (Lin et al., ICCV 2017, equation 5).

    With s_j as in ``sampled_softmax`` and p_j = sigmoid(s_j),

        loss_t = - alpha (1 - p_t)^gamma log p_t - (1 - alpha) sum_j w_j p_j^gamma log(1 - p_j)

    where w_j = exp(-log_q_j), scaled to add up to 1 without the accidental hits: the sum estimates the mean
    over the catalogue. The paper sums over all of its negatives and starts from a low prior instead.
    """
    positive, weights = _positive_logits(interests, targets, shape)

    def mean(scores: Float[Tensor, "*S N"], own: Bool[Tensor, "*#S N"]) -> Float[Tensor, "*S"]:
        importance = (-candidates.log_q).masked_fill(own, torch.finfo(scores.dtype).min).softmax(dim=-1)
        costs = _focal_cost(-scores / shape.temperature, shape.focal_gamma)
        return (costs * importance.masked_fill(own, 0.0)).sum(dim=-1)

    negative = _over_negatives(interests, targets, candidates, shape, weights, mean)
    losses = shape.focal_alpha * _focal_cost(positive, shape.focal_gamma) + (1 - shape.focal_alpha) * negative
    return TargetLosses(losses * weights.detach().sum(dim=1), weights.detach())


LOSSES: Final[dict[Loss, Callable[[Tensor, Targets, Candidates, LossShape], TargetLosses]]] = {
    "softmax": sampled_softmax,
    "sigmoid_focal": sigmoid_focal,
}


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
    own = torch.zeros(num_users, len(negative_rows), dtype=torch.bool, device=negative_rows.device)
    own[target_users[hit], place[hit]] = True
    return own


def presence_loss(
    logits: Float[Tensor, "Q K"], weights: Float[Tensor, "T K"], queries: Int64[Tensor, " T"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy of "this interest gets a target", for the queries that have any.

    Args:
        weights: of the assignment; an interest is present where a target of its query chose it.
    """
    present = torch.zeros_like(logits).index_add_(0, queries, weights.to(logits)).clamp(max=1.0)
    asked = queries.unique()
    return F.binary_cross_entropy_with_logits(logits[asked], present[asked])


def _positive_logits(
    interests: Float[Tensor, "Q K D"], targets: Targets, shape: LossShape
) -> tuple[Float[Tensor, " T"], Float[Tensor, "T K"]]:
    """<z_t, e_t> / temperature, and the weights of the interests in z_t."""
    scores = torch.einsum("tkd,td->tk", interests[targets.queries], targets.vectors)  # (T, K)
    weights = assign(shape.assignment, scores, targets.queries, power=shape.power)
    return (scores * weights).sum(dim=1) / shape.temperature, weights


def _focal_cost(logits: Float[Tensor, "*S"], gamma: float) -> Float[Tensor, "*S"]:
    """- (1 - p)^gamma log p with p = sigmoid(logits)."""
    return torch.sigmoid(-logits).clamp(min=1e-6) ** gamma * F.softplus(-logits)


def _over_negatives(
    interests: Float[Tensor, "Q K D"],
    targets: Targets,
    candidates: Candidates,
    shape: LossShape,
    weights: Float[Tensor, "T K"],
    reduce: Reduce,
) -> Float[Tensor, " T"]:
    """The scores of the negatives, before the temperature, reduced to one number per target."""
    num_queries, num_interests, _ = interests.shape
    one_interest = shape.assignment in ("hard", "one_to_one")
    if one_interest and num_queries * num_interests < len(weights):
        # Fewer interests than targets: each interest's sum once, for all targets that chose it.
        users = _users_of_queries(targets, num_queries)
        own = candidates.own[users].unsqueeze(1)
        sums = reduce(interests @ candidates.vectors.T, own)  # (Q, K)
        return sums[targets.queries, weights.argmax(dim=1)]
    own = candidates.own[targets.users]
    if shape.assignment == "max_readout":
        best = (interests @ candidates.vectors.T).amax(dim=1)  # (Q, N)
        return reduce(best[targets.queries], own)
    return reduce(_chosen(interests, targets, weights) @ candidates.vectors.T, own)


def _corrected(
    scores: Float[Tensor, "*S N"], own: Bool[Tensor, "*#S N"], candidates: Candidates, shape: LossShape
) -> Float[Tensor, "*S N"]:
    """Logits of the negatives: sharpened, lowered by log_q, without the accidental hits."""
    lowest = torch.finfo(scores.dtype).min
    logits = (scores / shape.temperature - candidates.log_q).masked_fill(own, lowest)
    if shape.hard_beta:
        hardness = (shape.hard_beta * scores / shape.temperature - candidates.log_q).masked_fill(own, lowest)
        # Of average weight 1 under the estimate of the full sum.
        size = (-candidates.log_q).exp().sum().log()
        logits = logits + shape.hard_beta * scores / shape.temperature
        logits = logits - hardness.logsumexp(dim=-1, keepdim=True) + size
        logits = logits.masked_fill(own, lowest)
    return logits


def _chosen(
    interests: Float[Tensor, "Q K D"], targets: Targets, weights: Float[Tensor, "T K"]
) -> Float[Tensor, "T D"]:
    return torch.einsum("tk,tkd->td", weights, interests[targets.queries])


def _mean_logit(
    interests: Float[Tensor, "Q K D"],
    targets: Targets,
    candidates: Candidates,
    shape: LossShape,
    weights: Float[Tensor, "T K"],
) -> Float[Tensor, " T"]:
    """Mean score over the catalogue, as the negatives estimate it."""
    shares = (-candidates.log_q).softmax(dim=0)
    return _chosen(interests, targets, weights) @ (shares @ candidates.vectors) / shape.temperature


def _users_of_queries(targets: Targets, num_queries: int) -> Int64[Tensor, " Q"]:
    """Row of ``own`` of each query; any for queries without a target, whose sums nobody reads."""
    users = torch.zeros(num_queries, dtype=torch.int64, device=targets.users.device)
    return users.scatter_(0, targets.queries, targets.users)
