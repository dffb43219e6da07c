"""What the videos of a history speak for: the weights of an item-to-item bundle added up.

One implementation, for training, offline lists and serving: of one user and of many the same numbers.

Shape letters: B users, V videos, W watches of all users, S videos seen by the users, N places of a list.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import scipy.sparse
from jaxtyping import Float32, Int64

from features.bundle import NEIGHBOUR_ID, WEIGHT, Bundle
from features.history import History
from features.merge import NO_VIDEO, Merged
from features.positives import Action
from features.schema import PAD_ROW, VIDEO_ID
from features.top import NO_PLACE, best_of
from features.vocabulary import Vocabulary


class Neighbours:
    """Finds the videos with the largest sums of weights; of equal sums the popular one is first.

    Args:
        neighbours: the content of ``neighbours.parquet``.
        vocabulary: its order is the popular order.
        plain_weight: of a watch in the history that is no positive.
    """

    def __init__(self, neighbours: pa.Table, vocabulary: Vocabulary, *, plain_weight: float) -> None:
        sources, targets = (
            vocabulary.rows_of(neighbours[name].to_numpy()) - 1 for name in (VIDEO_ID, NEIGHBOUR_ID)
        )
        shape = (len(vocabulary), len(vocabulary))
        self._weights = scipy.sparse.csr_array((neighbours[WEIGHT].to_numpy(), (sources, targets)), shape)
        self.vocabulary = vocabulary
        self._plain_weight = plain_weight

    @classmethod
    def of(cls, bundle: Bundle) -> "Neighbours":
        """From a bundle of kind ``neighbours``."""
        plain_weight = float(bundle.manifest.config["plain_weight"])
        return cls(bundle.neighbours, bundle.vocabulary, plain_weight=plain_weight)

    def knows(self, history: History) -> bool:
        """Whether any video of the history is in the bundle."""
        rows = self.vocabulary.rows_of(np.asarray(history.video_ids, dtype=np.int64))
        return bool((rows != PAD_ROW).any())

    def find(
        self,
        histories: Sequence[History],
        seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
        limit: int,
    ) -> Merged:
        """The ``limit`` best unseen videos that a history speaks for: those with a sum above 0.

        Args:
            seen: place of the user and place of the video in the vocabulary, of everything that was seen.
        """
        return best_unseen(self._scores(histories), self.vocabulary, seen, limit)

    def _scores(self, histories: Sequence[History]) -> Float32[np.ndarray, "B V"]:
        users = np.repeat(np.arange(len(histories)), [len(history.video_ids) for history in histories])
        videos, actions = (
            np.concatenate([np.empty(0, np.int64), *(np.asarray(part, dtype=np.int64) for part in parts)])
            for parts in (
                [history.video_ids for history in histories],
                [history.actions for history in histories],
            )
        )
        weights = watch_weights(actions, self._plain_weight)
        shape = (len(histories), len(self.vocabulary))
        history = largest_weights(users, self.vocabulary.rows_of(videos) - 1, weights, shape)
        return np.asarray((history @ self._weights).toarray(), dtype=np.float32)


def best_unseen(
    scores: Float32[np.ndarray, "B V"],
    vocabulary: Vocabulary,
    seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
    limit: int,
) -> Merged:
    """The ``limit`` videos with the best scores above 0; see ``Neighbours.find``. Changes ``scores``."""
    scores[seen] = 0
    scores[scores <= 0] = -np.inf
    places, found = best_of(scores, limit)
    ids = np.where(places == NO_PLACE, NO_VIDEO, vocabulary.video_ids[places])
    return Merged(ids, found, np.full(ids.shape, -1, dtype=np.int64))


def watch_weights(actions: Int64[np.ndarray, " W"], plain_weight: float) -> Float32[np.ndarray, " W"]:
    """1 for a positive, ``plain_weight`` for any other watch, 0 for a dislike."""
    is_positive = (actions & Action.POSITIVE.value) != 0
    is_disliked = (actions & Action.DISLIKED.value) != 0
    return np.where(is_disliked, 0, np.where(is_positive, 1, plain_weight)).astype(np.float32)


def largest_weights(
    users: Int64[np.ndarray, " W"],
    videos: Int64[np.ndarray, " W"],
    weights: Float32[np.ndarray, " W"],
    shape: tuple[int, int],
) -> scipy.sparse.csr_array:
    """(users, videos): the largest weight of each pair; places below 0 and weights of 0 are left out."""
    known = (videos >= 0) & (weights > 0)
    users, videos, weights = users[known], videos[known], weights[known]
    order = np.lexsort((-weights, videos, users))
    users, videos, weights = users[order], videos[order], weights[order]
    is_first = np.append(True, (np.diff(users) != 0) | (np.diff(videos) != 0))[: len(users)]
    return scipy.sparse.csr_array((weights[is_first], (users[is_first], videos[is_first])), shape=shape)
