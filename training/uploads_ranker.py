"""Ranks with a bundle of kind ``uploads``; what is found is found by ``features/uploads.py``.

Shape letters: B users, N places of a list.
"""

import numpy as np
from jaxtyping import Int64

from features.merge import Merged
from features.uploads import Uploads
from training.ranked import Past, Ranked, filled, seen_places


class UploadsRanker:
    """Behind the videos of followed uploaders comes the popular order of the vocabulary."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        vocabulary = self._uploads.vocabulary
        seen = seen_places(past.seen, user_ids, vocabulary)
        return filled(Ranked(self.find(past, user_ids, top_n)), vocabulary.video_ids, seen, top_n)

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """See ``Finder``."""
        users, uploaders = past.follows.pairs(user_ids)
        ends = np.searchsorted(users, np.arange(1, len(user_ids)))
        seen = seen_places(past.seen, user_ids, self._uploads.vocabulary)
        return self._uploads.find(np.split(uploaders, ends), seen, limit)
