"""Ranks with a bundle of kind ``neighbours``; the sums are those of ``features/neighbours.py``.

Shape letters: B users, N places of a list.
"""

import numpy as np
from jaxtyping import Int64

from features.merge import Merged
from features.neighbours import Neighbours
from training.ranked import Past, Ranked, filled, seen_places


class NeighbourRanker:
    """Behind what the history speaks for comes the popular order of the vocabulary."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        vocabulary = self._neighbours.vocabulary
        seen = seen_places(past.seen, user_ids, vocabulary)
        return filled(Ranked(self.find(past, user_ids, top_n)), vocabulary.video_ids, seen, top_n)

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """See ``Finder``."""
        seen = seen_places(past.seen, user_ids, self._neighbours.vocabulary)
        return self._neighbours.find(past.histories.histories(user_ids), seen, limit)
