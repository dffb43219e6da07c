"""Attention pooling of a history into K interests, for the whole history or for every prefix of it.

Interest k is sum_m exp(w_mk) h_m over the tokens, divided by the length of its weights. The same sums taken
cumulatively give the interests after every watch in one pass, which is what makes training on all prefixes
cheap (ComiRec-SA, Cen et al., KDD 2020, equation 5, has one prefix per example).

Shape letters: B users, M tokens, K interests, D dimensions.
"""

from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Norm = Literal["sum", "length"]
"""What the weights of an interest add up to 1 in: their sum (softmax), or their squares. A mean of n
unrelated vectors has length about 1 / sqrt(n); with ``length``, long histories speak as loud as short
ones."""
LOWEST: Final = -60.0
"""Logits further below the highest than this count as this; keeps every prefix' sum above zero."""


def pool(
    tokens: Float[Tensor, "B M D"],
    logits: Float[Tensor, "B M K"],
    real: Bool[Tensor, "B M"],
    norm: Norm = "sum",
) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B M K"]]:
    """Pooled tokens, and the weights; a user without a real token gets zeros."""
    weights = _exponentials(logits, real)
    size = weights.sum(dim=1) if norm == "sum" else weights.square().sum(dim=1).sqrt()  # (B, K)
    weights = weights / size.clamp(min=torch.finfo(size.dtype).tiny).unsqueeze(1)
    return weights.transpose(1, 2) @ tokens, weights


def pool_prefixes(
    tokens: Float[Tensor, "B M D"],
    logits: Float[Tensor, "B M K"],
    real: Bool[Tensor, "B M"],
    norm: Norm = "sum",
) -> Float[Tensor, "B M K D"]:
    """``pool`` of the first m tokens, for every m."""
    weights = _exponentials(logits, real)
    sums = torch.einsum("bmk,bmd->bmkd", weights, tokens).cumsum(dim=1)
    size = weights.cumsum(dim=1) if norm == "sum" else weights.square().cumsum(dim=1).sqrt()
    return sums / size.clamp(min=torch.finfo(size.dtype).tiny).unsqueeze(3)


def _exponentials(logits: Float[Tensor, "B M K"], real: Bool[Tensor, "B M"]) -> Float[Tensor, "B M K"]:
    """exp of the logits relative to each user's highest; 0 where a token is padding."""
    hidden = ~real.unsqueeze(2)
    highest = logits.detach().masked_fill(hidden, torch.finfo(logits.dtype).min).amax(dim=1, keepdim=True)
    return (logits - highest).clamp(min=LOWEST).exp().masked_fill(hidden, 0.0)
