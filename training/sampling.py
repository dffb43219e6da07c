"""Negatives for the sampled softmax, with the exact number of times each was to be expected.

The softmax over V videos needs Z = sum_j exp(s_j). With draws of which c_j hit video j, and n_j hits to be
expected, sum_j c_j exp(s_j) / n_j is an unbiased estimate of it (Bengio and Senecal, AISTATS 2003, importance
sampling): every drawn logit is *lowered* by log(n_j / c_j). A popular video is drawn often and so counts less
each time; with the sign the other way round, popular videos would be pushed down twice (Yi et al., RecSys
2019, equation 3, is the same correction for in-batch negatives).

Draws come from up to three sources and n_j adds up over them (the balance heuristic of Veach and Guibas,
SIGGRAPH 1995): the uniform distribution bounds the weight of a rare video and so the variance, watch counts
bring hard negatives, and the other targets of the batch come for free.

Shape letters: R = 1 + V rows (row 0, the padding, is never drawn), N distinct negatives, T targets of a
batch."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Negatives(NamedTuple):
    """Distinct rows in ascending order; subtract ``log_q`` from their logits."""

    rows: Int64[Tensor, " N"]
    log_q: Float[Tensor, " N"]
    """Log of (expected hits / hits): a row that came twice counts twice."""


class NegativeSampler:
    """Draws negatives that all users of a batch share.

    Args:
        counts: watches per row; row 0 is ignored.
        num_draws: with at least V draws every video is a negative exactly once: the full softmax. With none,
            the targets of the batch are the only negatives, and a video that is never a target never is one.
        popularity_share: probability that a draw follows ``counts`` and not the uniform distribution.
        target_counts: how often each row is a target in an epoch; with it the targets of the batch are
            negatives too.
    """

    def __init__(
        self,
        counts: Float[Tensor, " R"] | Int64[Tensor, " R"],
        num_draws: int,
        popularity_share: float,
        target_counts: Float[Tensor, " R"] | Int64[Tensor, " R"] | None = None,
    ) -> None:
        videos = counts[1:].double()
        self._num_draws = num_draws
        self._all_rows = torch.arange(1, len(counts)) if num_draws >= len(videos) else None
        uniform = (1 - popularity_share) / len(videos)
        self.probability = uniform + popularity_share * videos / videos.sum().clamp(min=1)
        self._cumulative = self.probability.cumsum(0)
        self._target_share: Tensor | None = None
        if target_counts is not None:
            targets = target_counts[1:].double()
            self._target_share = targets / targets.sum().clamp(min=1)

    def draw(self, generator: torch.Generator, target_rows: Int64[Tensor, " T"] | None = None) -> Negatives:
        """Negatives of one step.

        Args:
            target_rows: targets of the batch, as often as they occur; read by in-batch negatives only.
        """
        if self._all_rows is not None:
            return Negatives(self._all_rows, torch.zeros(len(self._all_rows)))
        points = torch.rand(self._num_draws, dtype=torch.double, generator=generator)
        places = torch.searchsorted(self._cumulative, points * self._cumulative[-1], right=True)
        places = places.clamp(max=len(self.probability) - 1)
        expected = self._num_draws * self.probability
        if self._target_share is not None and target_rows is not None:
            places = torch.cat([places, target_rows - 1])
            expected = expected + len(target_rows) * self._target_share
        places, times = places.unique(return_counts=True)
        return Negatives(places + 1, (expected[places] / times).log().float())
