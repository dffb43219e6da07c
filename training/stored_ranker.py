"""Ranks with the interests that a bundle stores per user.

Shape letters: B users, K most interests of one user, D dimensions, V videos, S videos seen by the
users.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from features.merge import Merged
from features.user_vectors import StoredVectors
from features.vocabulary import Vocabulary
from training.interest_search import VectorCatalogue, search_interests
from training.ranked import Past, Ranked, filled, seen_places


class StoredRanker:
    """Searches each stored interest of a user; users without any get the popular order.

    Args:
        user_interests: the content of ``user_interests.parquet``.
        vocabulary: its order is the popular order.
        min_share: see ``MergeConfig``.
    """

    def __init__(
        self,
        user_interests: pa.Table,
        vocabulary: Vocabulary,
        vectors: Float32[np.ndarray, "V D"],
        *,
        min_share: float | None = None,
    ) -> None:
        self._stored = StoredVectors(user_interests)
        self._most = self._stored.most()
        self._vocabulary = vocabulary
        self._min_share = min_share
        self._catalogue = VectorCatalogue(vocabulary.video_ids, vectors)

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        seen = seen_places(past.seen, user_ids, self._vocabulary)
        return filled(self._search(user_ids, seen, top_n), self._vocabulary.video_ids, seen, top_n)

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """See ``Finder``."""
        return self._search(user_ids, seen_places(past.seen, user_ids, self._vocabulary), limit).lists

    def _search(
        self,
        user_ids: Int64[np.ndarray, " B"],
        seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
        top_n: int,
    ) -> Ranked:
        stored = [self._stored.of_user(user) for user in user_ids.tolist()]
        interests = np.zeros((len(user_ids), self._most, self._catalogue.vectors.shape[1]), dtype=np.float32)
        searched = np.zeros(interests.shape[:2], dtype=bool)
        weights = np.zeros(searched.shape, dtype=np.float32)
        for place, own in enumerate(stored):
            if own:
                interests[place, : len(own.vectors)] = own.vectors
                searched[place, : len(own.vectors)] = True
                weights[place, : len(own.vectors)] = own.weights / own.weights.sum()
        return search_interests(
            interests,
            searched,
            seen,
            self._catalogue,
            top_n,
            weights=weights,
            min_share=self._min_share,
        )
