"""Milvus behind ``CandidateIndex``: one batched search by collection name, never by alias.

Milvus gives inconsistent answers while an alias flips (milvus issues 15378 and 46284), so the release names
the collection and serving asks for exactly that one.

Shape letters: K queries, D dimensions, S excluded.
"""

import numpy as np
from jaxtyping import Float32, Int64

from features.schema import VECTOR, VIDEO_ID
from serving.collection import search_parameters
from serving.errors import IndexUnavailableError
from serving.index import Hits, pad_hits
from serving.milvus import MilvusConnection


class MilvusIndex:
    """One collection of ``num_videos`` item vectors."""

    def __init__(
        self,
        connection: MilvusConnection,
        collection: str,
        *,
        timeout_seconds: float,
        num_videos: int,
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._timeout_seconds = timeout_seconds
        self._num_videos = num_videos

    def search(
        self, queries: Float32[np.ndarray, "K D"], limit: int, *, exclude: Int64[np.ndarray, " S"]
    ) -> Hits:
        """See ``CandidateIndex``. A filter excludes, see docs/decisions/0004."""
        with self._connection.translating(f"search in {self._collection!r}") as client:
            found = client.search(
                self._collection,
                data=queries,
                limit=limit,
                anns_field=VECTOR,
                filter=f"{VIDEO_ID} not in {exclude.tolist()}" if len(exclude) else "",
                output_fields=[VIDEO_ID],  # without it Milvus Lite sends every field
                search_params=search_parameters(self._num_videos, limit),
                timeout=self._timeout_seconds,
            )
        return pad_hits([(hits.ids, hits.distances) for hits in found])

    def check(self) -> None:
        """See ``CandidateIndex``."""
        with self._connection.translating(f"looking for {self._collection!r}") as client:
            if not client.has_collection(self._collection, timeout=self._timeout_seconds):
                raise IndexUnavailableError(
                    f"Milvus at {self._connection.uri} has no collection {self._collection!r}; "
                    "publish its bundles again"
                )
