"""Which interest a target trains: the assignments that ``training/losses.py`` reads.

===================  =================================================================================
name                 weight of interest k for target t
===================  =================================================================================
``hard``             1 for k* = argmax_k <z_k, e_t>, else 0: single activation
``label_aware``      softmax over k of power * <z_k, e_t>: the label-aware attention of MIND (Li et al.,
                     CIKM 2019, equation 8), which raises the inner product to a power instead; that has
                     no meaning for the negative cosines of normalised vectors. Power infinity is ``hard``.
``max_readout``      as ``hard``, but each negative too is scored by the interest nearest to *it*, as the
                     merge of retrieval does
``one_to_one``       1 for the pairs of the greatest total <z_k, e_t> in which no interest and no target of
                     one query comes twice (Kuhn, 1955, the Hungarian method); targets left over train
                     nothing
===================  =================================================================================

Shape letters: T targets, K interests.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from training.config import Assignment


def assign(
    assignment: Assignment,
    scores: Float[Tensor, "T K"],
    queries: Int64[Tensor, " T"],
    *,
    power: float = 1.0,
) -> Float[Tensor, "T K"]:
    """Weights of the interests per target; rows add up to 1, or to 0 for a target that trains nothing.

    Only ``label_aware`` weights carry a gradient.

    Args:
        scores: inner products of each target with the interests of its query.
        queries: which target belongs to which query.
        power: sharpness of ``label_aware``.
    """
    if assignment == "label_aware":
        return (power * scores).softmax(dim=1)
    if assignment == "one_to_one":
        return _match(scores.detach(), queries)
    best = scores.detach().argmax(dim=1, keepdim=True)
    return torch.zeros_like(scores).scatter_(1, best, 1.0).detach()


def _match(scores: Float[Tensor, "T K"], queries: Int64[Tensor, " T"]) -> Float[Tensor, "T K"]:
    table = scores.cpu().float().numpy()
    order = np.argsort(queries.cpu().numpy(), kind="stable")
    starts = np.flatnonzero(np.diff(queries.cpu().numpy()[order], prepend=-1))
    weights = np.zeros_like(table)
    for targets in np.split(order, starts[1:]):
        rows, interests = linear_sum_assignment(table[targets], maximize=True)
        weights[targets[rows], interests] = 1.0
    return torch.from_numpy(weights).to(scores)
