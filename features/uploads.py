"""Videos that the followers of an uploader get; one implementation, offline and in serving.

Shape letters: B users, V videos, U uploaders followed, S videos seen by the users, N places of a list.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import scipy.sparse
from jaxtyping import Int64

from features.bundle import WEIGHT, Bundle
from features.merge import Merged
from features.neighbours import best_unseen
from features.schema import PAD_ROW, UPLOADER_ID, VIDEO_ID
from features.vocabulary import Vocabulary


class Uploads:
    """Finds the videos of followed uploaders with the largest weights; of equal ones the popular first.

    Args:
        uploads: the content of ``uploads.parquet``.
        vocabulary: its order is the popular order.
    """

    def __init__(self, uploads: pa.Table, vocabulary: Vocabulary) -> None:
        uploaders, rows = np.unique(uploads[UPLOADER_ID].to_numpy(), return_inverse=True)
        places = vocabulary.rows_of(uploads[VIDEO_ID].to_numpy()) - 1
        shape = (len(uploaders), len(vocabulary))
        self._weights = scipy.sparse.csr_array((uploads[WEIGHT].to_numpy(), (rows, places)), shape)
        self._uploaders = Vocabulary(uploaders)
        self.vocabulary = vocabulary

    @classmethod
    def of(cls, bundle: Bundle) -> "Uploads":
        """From a bundle of kind ``uploads``."""
        return cls(bundle.uploads, bundle.vocabulary)

    def knows(self, uploader_ids: Int64[np.ndarray, " U"]) -> bool:
        """Whether any of them has a video to show."""
        return bool((self._uploaders.rows_of(uploader_ids) != PAD_ROW).any())

    def find(
        self,
        followed: Sequence[Int64[np.ndarray, " _"]],
        seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
        limit: int,
    ) -> Merged:
        """The ``limit`` best unseen videos of the uploaders that each user follows.

        Args:
            followed: ids of uploaders; one that is named twice counts once.
            seen: place of the user and place of the video in the vocabulary, of everything that was seen.
        """
        rows = [np.unique(self._uploaders.rows_of(own)) for own in followed]
        users = np.repeat(np.arange(len(followed)), [len(own) for own in rows])
        uploaders = np.concatenate([np.empty(0, np.int64), *rows])
        known = uploaders != PAD_ROW
        users, uploaders = users[known], uploaders[known] - 1
        shape = (len(followed), len(self._uploaders))
        ones = np.ones(len(users), dtype=np.float32)
        follows = scipy.sparse.csr_array((ones, (users, uploaders)), shape=shape)
        scores = np.asarray((follows @ self._weights).toarray(), dtype=np.float32)  # (B, V)
        return best_unseen(scores, self.vocabulary, seen, limit)
