"""Negatives for the sampled softmax, with the exact number of times each was to be expected.

The softmax over V videos needs Z = sum_j exp(s_j). With N draws from a distribution q its unbiased
estimate is sum over draws of exp(s_j) / (N q_j) (Bengio and Senecal, AISTATS 2003, importance sampling):
every drawn logit is *lowered* by log(N q_j), its log expected count. A popular video is drawn often and so
counts less each time; with the sign the other way round, popular videos would be pushed down twice
(Yi et al., RecSys 2019, equation 3, is the same correction for in-batch negatives).

q mixes the uniform distribution and the watch counts: the uniform part bounds the weight of a rare video
by 1 / (1 - popularity_share) times V / N and so the variance, the other part brings hard negatives.

Shape letters: R = 1 + V rows (row 0, the padding, is never drawn), N distinct negatives.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Negatives(NamedTuple):
    """Distinct rows in ascending order; subtract ``log_q`` from their logits."""

    rows: Int64[Tensor, " N"]
    log_q: Float[Tensor, " N"]
    """Log of (draws times probability / times drawn): a row that came twice counts twice."""


class NegativeSampler:
    """Draws negatives that all users of a batch share.

    Args:
        counts: watches per row; row 0 is ignored.
        num_draws: with at least V draws every video is a negative exactly once: the full softmax.
        popularity_share: probability that a draw follows ``counts`` and not the uniform distribution.
    """

    def __init__(
        self, counts: Float[Tensor, " R"] | Int64[Tensor, " R"], num_draws: int, popularity_share: float
    ) -> None:
        videos = counts[1:].double()
        self._num_draws = num_draws
        self._all_rows = torch.arange(1, len(counts)) if num_draws >= len(videos) else None
        self.probability = (1 - popularity_share) / len(
            videos
        ) + popularity_share * videos / videos.sum().clamp(min=1)
        self._cumulative = self.probability.cumsum(0)

    def draw(self, generator: torch.Generator) -> Negatives:
        """Negatives of one step."""
        if self._all_rows is not None:
            return Negatives(self._all_rows, torch.zeros(len(self._all_rows)))
        points = torch.rand(self._num_draws, dtype=torch.double, generator=generator)
        places = torch.searchsorted(self._cumulative, points * self._cumulative[-1], right=True)
        places, times = places.clamp(max=len(self.probability) - 1).unique(return_counts=True)
        log_q = (self._num_draws * self.probability[places] / times).log()
        return Negatives(places + 1, log_q.float())
