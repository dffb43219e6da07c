"""Milvus behind ``CandidateIndex``: one batched search by collection name, never by alias.

Milvus gives inconsistent answers while an alias flips (milvus issues 15378 and 46284), so the release names
the collection and serving asks for exactly that one.

Shape letters: K queries, D dimensions, S excluded.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

from features.filters import NO_FILTERS, VideoFilters
from features.merge import NO_VIDEO
from features.schema import VECTOR, VIDEO_ID
from serving.collection import filter_expression, index_type, search_parameters
from serving.errors import IndexUnavailableError
from serving.index import Hits
from serving.milvus import MilvusConnection

if TYPE_CHECKING:
    from pymilvus.grpc_gen.schema_pb2 import SearchResultData


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
            return self._search(queries, limit, filter_expression(filters, exclude), kind)
        except IndexUnavailableError:
            self._index_type = None  # Milvus may have restarted: the next call loads before it searches
            raise

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

    def _search(self, queries: np.ndarray, limit: int, expression: str, kind: str) -> Hits:
        """By Milvus' gRPC service itself: pymilvus makes an object of every hit, 3 ms of Python for 600."""
        from pymilvus import Prepare
        from pymilvus.client.utils import check_status

        request = Prepare.search_requests_with_expr(
            self._collection,
            VECTOR,
            search_parameters(kind, limit),
            limit,
            data=queries,
            expr=expression,
            output_fields=[VIDEO_ID],  # without it Milvus Lite sends every field
            use_default_consistency=False,
            **bounded(),
        )
        with self._connection.calling(f"search in {self._collection!r}") as service:
            answer = service.Search(request, timeout=self._timeout_seconds)
            check_status(answer.status)
        return hits_of(answer.results)


def bounded() -> dict[str, int]:
    """What was written five seconds ago is found. To wait for all writes costs 200 ms of every search."""
    from pymilvus.client.ts_utils import get_bounded_ts
    from pymilvus.client.types import ConsistencyLevel

    return {"consistency_level": ConsistencyLevel.Bounded, "guarantee_timestamp": get_bounded_ts()}


def hits_of(results: "SearchResultData") -> Hits:
    """Hits in one row per query, as wide as the longest."""
    found = np.zeros(results.num_queries, dtype=np.int64)
    found[: len(results.topks)] = results.topks  # none at all where nothing was found
    width = int(found.max(initial=0))
    is_hit = np.arange(width) < found[:, None]
    video_ids = np.full(is_hit.shape, NO_VIDEO, dtype=np.int64)
    scores = np.full(is_hit.shape, -np.inf, dtype=np.float32)
    video_ids[is_hit] = results.ids.int_id.data
    scores[is_hit] = results.scores
    return Hits(video_ids, scores)
