"""What recall needs from a vector index, and the exact one in memory.

Shape letters: K queries (the interests of one user), D dimensions, M hits per query, S excluded.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from features.bundle import vectors_of
from features.filters import NO_FILTERS, VideoFilters
from features.schema import VIDEO_ID


@dataclass(frozen=True, slots=True)
class Hits:
    """Best first per query; places that nothing was found for hold ``NO_VIDEO`` and -inf."""

    video_ids: Int64[np.ndarray, "K M"]
    scores: Float32[np.ndarray, "K M"]


@runtime_checkable
class CandidateIndex(Protocol):
    """Nearest videos by inner product."""

    def search(
        self,
        queries: Float32[np.ndarray, "K D"],
        limit: int,
        *,
        exclude: Int64[np.ndarray, " S"],
        filters: VideoFilters = NO_FILTERS,
    ) -> Hits:
        """At most ``limit`` videos per query that pass, none of ``exclude``, in one call for all queries.

        Excluding takes nothing away: a query gets fewer than ``limit`` only if fewer are left.

        Raises:
            IndexUnavailableError: it did not answer in time.
        """
        ...

    def check(self) -> None:
        """Return if the index can be searched now.

        Raises:
            IndexUnavailableError: it cannot; the text says why.
        """
        ...


class ExactIndex:
    """Brute force: the yardstick for Milvus in tests and when a collection is verified.

    Args:
        items: as ``item_vectors.parquet``.
    """

    def __init__(self, items: pa.Table) -> None:
        self._items = items
        self._video_ids = items[VIDEO_ID].to_numpy()
        self._vectors = vectors_of(items)

    def search(
        self,
        queries: Float32[np.ndarray, "K D"],
        limit: int,
        *,
        exclude: Int64[np.ndarray, " S"],
        filters: VideoFilters = NO_FILTERS,
    ) -> Hits:
        """See ``CandidateIndex``; ties go to the smaller id."""
        left = np.flatnonzero(filters.mask(self._items) & ~np.isin(self._video_ids, exclude))
        ids = self._video_ids[left]
        scores = queries @ self._vectors[left].T  # (K, V)
        order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores), axis=1)[:, :limit]
        return Hits(ids[order], np.take_along_axis(scores, order, axis=1))

    def check(self) -> None:
        """See ``CandidateIndex``; memory always answers."""
