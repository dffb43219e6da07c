"""Milvus behind ``CandidateIndex``: one batched search by collection name, never by alias.

Milvus gives inconsistent answers while an alias flips (milvus issues 15378 and 46284), so the release names
the collection and serving asks for exactly that one.

Shape letters: K queries, D dimensions, S excluded.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float32, Int64

from features.filters import NO_FILTERS, VideoFilters
from features.schema import VECTOR, VIDEO_ID
from serving.collection import filter_expression, index_type, search_parameters
from serving.errors import IndexUnavailableError
from serving.index import Hits, pad_hits
from serving.milvus import MilvusConnection

if TYPE_CHECKING:
    from pymilvus.client.search_result import SearchResult

CONSISTENCY: Final = "Bounded"
"""What was written five seconds ago is found. To wait for all writes costs Milvus 200 ms of every search."""


class MilvusIndex:
    """One collection of item vectors, searched as it is indexed."""

    def __init__(self, connection: MilvusConnection, collection: str, *, timeout_seconds: float) -> None:
        self._connection = connection
        self._collection = collection
        self._timeout_seconds = timeout_seconds
        self._index_type: str | None = None
        """Known while the collection is loaded."""

    def search(
        self,
        queries: Float32[np.ndarray, "K D"],
        limit: int,
        *,
        exclude: Int64[np.ndarray, " S"],
        filters: VideoFilters = NO_FILTERS,
    ) -> Hits:
        """See ``CandidateIndex``. A filter excludes, see docs/decisions/0004."""
        kind = self._index_type or self._load()
        try:
            found = self._search(queries, limit, filter_expression(filters, exclude), kind)
        except IndexUnavailableError:
            self._index_type = None  # Milvus may have restarted: the next call loads before it searches
            raise
        return pad_hits([(hits.ids, hits.distances) for hits in found])

    def check(self) -> None:
        """See ``CandidateIndex``; also loads the collection, which a restarted Milvus Lite does not."""
        self._load()

    def _load(self) -> str:
        """How the collection is indexed, once it is loaded."""
        with self._connection.translating(f"loading {self._collection!r}") as client:
            if not client.has_collection(self._collection, timeout=self._timeout_seconds):
                raise IndexUnavailableError(
                    f"Milvus at {self._connection.uri} has no collection {self._collection!r}; "
                    "publish its bundles again"
                )
            client.load_collection(self._collection, timeout=self._timeout_seconds)
            kind = index_type(client, self._collection, timeout_seconds=self._timeout_seconds)
        self._index_type = kind
        return kind

    def _search(self, queries: np.ndarray, limit: int, expression: str, kind: str) -> "SearchResult":
        with self._connection.translating(f"search in {self._collection!r}") as client:
            return client.search(
                self._collection,
                data=queries,
                limit=limit,
                anns_field=VECTOR,
                filter=expression,
                output_fields=[VIDEO_ID],  # without it Milvus Lite sends every field
                search_params=search_parameters(kind, limit),
                consistency_level=CONSISTENCY,
                timeout=self._timeout_seconds,
            )
