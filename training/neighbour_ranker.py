"""Adds up the neighbours of what a user watched.

Shape letters: B users, V videos, N places of a list.
"""

import numpy as np
import pyarrow as pa
import scipy.sparse
from jaxtyping import Float32, Int64

from features.bundle import NEIGHBOUR_ID, WEIGHT
from features.merge import NO_VIDEO, Merged
from features.schema import VIDEO_ID
from features.top import NO_PLACE, best_of
from features.vocabulary import Vocabulary
from training.dataset import Sequences
from training.item_graph import matrix_of, watch_weights
from training.ranked import NO_INTEREST, Past, Ranked, seen_places


class NeighbourRanker:
    """Scores every video by the weights from the history to it; of equal scores the popular one is first.

    Args:
        vocabulary: its order is the popular order.
        plain_weight: of a watch in the history that is no positive.
    """

    def __init__(self, neighbours: pa.Table, vocabulary: Vocabulary, *, plain_weight: float) -> None:
        sources, targets = (
            vocabulary.rows_of(neighbours[name].to_numpy()) - 1 for name in (VIDEO_ID, NEIGHBOUR_ID)
        )
        shape = (len(vocabulary), len(vocabulary))
        self._weights = scipy.sparse.csr_array((neighbours[WEIGHT].to_numpy(), (sources, targets)), shape)
        self._vocabulary = vocabulary
        self._plain_weight = plain_weight

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        scores = self._scores(past, user_ids)
        scores[seen_places(past.seen, user_ids, self._vocabulary)] = -np.inf
        places, found = best_of(scores, top_n)
        ids = np.where(places == NO_PLACE, NO_VIDEO, self._vocabulary.video_ids[places])
        return Ranked(Merged(ids, found, np.full(ids.shape, NO_INTEREST, dtype=np.int64)))

    def _scores(self, past: Past, user_ids: Int64[np.ndarray, " B"]) -> Float32[np.ndarray, "B V"]:
        histories = past.histories.histories(user_ids)
        lengths = [len(history.video_ids) for history in histories]
        flat = [
            np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
            for parts in zip(*((h.video_ids, h.actions, h.event_times) for h in histories), strict=True)
        ]
        watches = Sequences(user_ids, np.concatenate([[0], np.cumsum(lengths)]), *flat)
        weights = watch_weights(watches.actions, self._plain_weight)
        history = matrix_of(watches, self._vocabulary, weights)
        return np.asarray((history @ self._weights).toarray(), dtype=np.float32)
