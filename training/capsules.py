"""Dynamic routing between the watches of a history and K interest capsules.

Sabour et al., NeurIPS 2017, procedure 1, as MIND (Li et al., CIKM 2019, algorithm 1) and ComiRec-DR (Cen et
al., KDD 2020, algorithm 1) use it: each watch divides itself among the interests by a softmax over them, an
interest is the squashed sum of what it gets, and the logits grow by the agreement of the two. The number of
rounds is fixed, and nothing is random: the fresh logits are the caller's. Gradients flow through the last
round only, as in the code of ComiRec's authors, which trains both models.

Shape letters: B users, L watches, K interests, D dimensions.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def squash(vectors: Float[Tensor, "*S D"]) -> Float[Tensor, "*S D"]:
    """Same direction, length n^2 / (1 + n^2) instead of n; zero stays zero."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors * length / (1 + length.square())


def route_capsules(
    votes: Float[Tensor, "#B #K L D"],
    logits: Float[Tensor, "#B K L"],
    real: Bool[Tensor, "B L"],
    active: Bool[Tensor, "B K"],
    num_rounds: int,
) -> Float[Tensor, "B K D"]:
    """Interest capsules after ``num_rounds`` rounds; zeros for a user without a watch.

    Args:
        votes: what each watch says to each interest, or the same to all.
        logits: of the fresh couplings.
        active: at least one interest of each user; the others get no share of any watch and are zeros.
    """
    lowest = torch.finfo(votes.dtype).min
    fixed = votes.detach()
    for _ in range(num_rounds - 1):
        capsules = _gather(fixed, _couplings(logits, real, active, lowest))
        logits = logits + (fixed @ capsules.unsqueeze(3)).squeeze(3)
    return _gather(votes, _couplings(logits, real, active, lowest))


def _couplings(
    logits: Float[Tensor, "#B K L"], real: Bool[Tensor, "B L"], active: Bool[Tensor, "B K"], lowest: float
) -> Float[Tensor, "B K L"]:
    shares = logits.masked_fill(~active.unsqueeze(2), lowest).softmax(dim=1)
    return shares * real.unsqueeze(1)


def _gather(votes: Float[Tensor, "#B #K L D"], couplings: Float[Tensor, "B K L"]) -> Float[Tensor, "B K D"]:
    return squash((couplings.unsqueeze(2) @ votes).squeeze(2))
