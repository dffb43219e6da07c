"""Whether a collection holds what its bundle says, and is searched well and fast enough to go live.

Shape letters: V videos, D dimensions, Q queries.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32

from features.live_items import VectorTable
from serving.collection import count_rows, read_vectors
from serving.errors import VerificationError
from serving.index import CandidateIndex
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex
from serving.samples import item_queries

SAMPLED_VECTORS: Final = 200
DEPTH: Final = 100
MIN_ANN_RECALL: Final = 0.98
SCORE_TOLERANCE: Final = 1e-5
"""Float32 sums of 64 products in another order differ by less."""
EXACT_ROWS: Final = 20_000
"""Videos that are scored at once; bounds memory."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was measured of a collection that passed."""

    num_rows: int
    num_vectors: int
    ann_recall: float
    search_ms: float
    """Median of the searches of the sample."""


def verify_collection(
    connection: MilvusConnection,
    name: str,
    bundle: VectorTable,
    queries: Sequence[Float32[np.ndarray, "_ D"]] = (),
    *,
    timeout_seconds: float,
    max_search_ms: float = float("inf"),
) -> Verification:
    """Compare a collection with its bundle.

    Args:
        queries: interests of users, as ``sampled_queries`` gives them; vectors of videos without any.
        max_search_ms: the median search of ``queries`` must not take longer.

    Raises:
        VerificationError: they differ; the text says in what.
        IndexUnavailableError: Milvus did not answer.
    """
    num_rows = count_rows(connection, name, timeout_seconds=timeout_seconds)
    if num_rows != len(bundle.video_ids):
        raise VerificationError(
            f"collection {name!r} has {num_rows} rows, its bundle {len(bundle.video_ids)}; publish again"
        )
    sample = np.random.default_rng(0).permutation(len(bundle.video_ids))[:SAMPLED_VECTORS]
    ids = bundle.video_ids[sample]
    stored = read_vectors(connection, name, ids, timeout_seconds=timeout_seconds)
    for video_id, vector in zip(ids.tolist(), bundle.vectors[sample], strict=True):
        if video_id not in stored or not np.array_equal(stored[video_id], vector):
            raise VerificationError(
                f"collection {name!r} does not hold the bundle's vector of video {video_id}; publish again"
            )
    index = MilvusIndex(connection, name, timeout_seconds=timeout_seconds)
    recall, search_ms = try_index(index, bundle.vectors, queries or item_queries(bundle))
    if recall < MIN_ANN_RECALL:
        raise VerificationError(
            f"collection {name!r} finds {recall:.3f} of what exact search finds, "
            f"at least {MIN_ANN_RECALL} is needed; check the index parameters in serving/collection.py"
        )
    if search_ms > max_search_ms:
        raise VerificationError(
            f"a search in {name!r} takes {search_ms:.0f} ms, more than {max_search_ms:.0f} are not served; "
            "publish again when Milvus is less busy, or raise FACET_PUBLISH_MAX_SEARCH_MS"
        )
    return Verification(num_rows, len(sample), recall, search_ms)


def try_index(
    index: CandidateIndex,
    vectors: Float32[np.ndarray, "V D"],
    queries: Sequence[Float32[np.ndarray, "_ D"]],
) -> tuple[float, float]:
    """Share of the exact best ``DEPTH`` that ``index`` finds, and milliseconds of its median search.

    Args:
        vectors: of all videos of the index.
        queries: each is one search.
    """
    if not queries or not len(vectors):
        return 1.0, 0.0
    nothing = np.empty(0, dtype=np.int64)
    bounds = _exact_bounds(vectors, np.concatenate(queries))
    index.search(queries[0], DEPTH, exclude=nothing)  # the first one may load
    num_good, place, times = 0, 0, []
    for each in queries:
        started = time.perf_counter()
        found = index.search(each, DEPTH, exclude=nothing)
        times.append(time.perf_counter() - started)
        # By score, not by id: where scores tie, either video is right.
        num_good += int((found.scores >= bounds[place : place + len(each), None] - SCORE_TOLERANCE).sum())
        place += len(each)
    return num_good / (len(bounds) * min(DEPTH, len(vectors))), 1000 * float(np.median(times))


def _exact_bounds(
    vectors: Float32[np.ndarray, "V D"], queries: Float32[np.ndarray, "Q D"]
) -> Float32[np.ndarray, " Q"]:
    """The score of the last of the exact best ``DEPTH`` of each query."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), EXACT_ROWS):
        scores = queries @ vectors[start : start + EXACT_ROWS].T
        best = np.concatenate([best, scores], axis=1)
        if best.shape[1] > DEPTH:
            best = np.partition(best, -DEPTH, axis=1)[:, -DEPTH:]
    return np.asarray(best.min(axis=1))
