"""Disagreement between interests: measures that training can lower, each with a weight of its own.

After "Multi-Head Attention with Disagreement Regularization" (Li et al., EMNLP 2018, arXiv 1810.10183,
section 3), with interests in the place of heads; the sign is turned, so that lower means that interests
differ more. ``routing_variance`` is the regularizer of REMI (Xie et al., RecSys 2023, section 3.3), which
pulls the other way: an interest shall not hang on a single watch.

Shape letters: B users, M tokens, Q queries, K interests (2 or more where pairs are compared), D dimensions.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def embedding_disagreement(
    projected: Float[Tensor, "B M K D"], real: Bool[Tensor, "B M"]
) -> Float[Tensor, ""]:
    """Mean cosine between two interests' projections of the same watch (equation 5, subspaces)."""
    pairs = _pairwise_cosine(projected)  # (B, M)
    return (pairs * real).sum() / real.sum().clamp(min=1)


def attention_disagreement(weights: Float[Tensor, "B M K"]) -> Float[Tensor, ""]:
    """Mean over pairs of sum_m a_im a_jm (equation 6, attended positions).

    Args:
        weights: add up to 1 over the tokens.
    """
    overlaps = weights.transpose(1, 2) @ weights  # (B, K, K)
    return _off_diagonal_mean(overlaps).mean()


def output_disagreement(interests: Float[Tensor, "Q K D"]) -> Float[Tensor, ""]:
    """Mean cosine between two interests of a query (equation 7, outputs)."""
    return _pairwise_cosine(interests).mean()


def routing_variance(weights: Float[Tensor, "B M K"], real: Bool[Tensor, "B M"]) -> Float[Tensor, ""]:
    """Variance over a user's tokens of the attention of an interest, times the number of tokens squared.

    The square makes long and short histories alike: even attention gives 0, all on one of n tokens n - 1.
    """
    count = real.sum(dim=1).clamp(min=1)[:, None, None]  # (B, 1, 1)
    deviations = (weights - 1 / count) * real.unsqueeze(2)
    return (deviations.square().sum(dim=1) * count.squeeze(1)).mean()


def _pairwise_cosine(vectors: Float[Tensor, "*S K D"]) -> Float[Tensor, "*S"]:
    unit = F.normalize(vectors, dim=-1)
    return _off_diagonal_mean(unit @ unit.transpose(-1, -2))


def _off_diagonal_mean(square: Float[Tensor, "*S K K"]) -> Float[Tensor, "*S"]:
    num = square.shape[-1]
    diagonal = torch.diagonal(square, dim1=-2, dim2=-1).sum(dim=-1)
    return (square.sum(dim=(-2, -1)) - diagonal) / (num * (num - 1))
