"""Whether a collection holds what its bundle says: row count, stored vectors, recall against exact search."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.live_items import VectorTable
from serving.collection import count_rows, read_vectors
from serving.errors import VerificationError
from serving.index import ExactIndex
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex

SAMPLED_VECTORS: Final = 200
SAMPLED_QUERIES: Final = 50
DEPTH: Final = 100
MIN_ANN_RECALL: Final = 0.98
SCORE_TOLERANCE: Final = 1e-5
"""Float32 sums of 64 products in another order differ by less."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was measured of a collection that passed."""

    num_rows: int
    num_vectors: int
    ann_recall: float


def verify_collection(
    connection: MilvusConnection, name: str, bundle: VectorTable, *, timeout_seconds: float
) -> Verification:
    """Compare a collection with its bundle.

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
    index = MilvusIndex(connection, name, timeout_seconds=timeout_seconds, num_videos=num_rows)
    recall = ann_recall(index, bundle, sample[:SAMPLED_QUERIES])
    if recall < MIN_ANN_RECALL:
        raise VerificationError(
            f"collection {name!r} finds {recall:.3f} of what exact search finds, "
            f"at least {MIN_ANN_RECALL} is needed; check the index parameters in serving/collection.py"
        )
    return Verification(num_rows, len(sample), recall)


def ann_recall(index: MilvusIndex, bundle: VectorTable, rows: np.ndarray) -> float:
    """Share of the exact best ``DEPTH`` that ``index`` finds for the vectors of ``rows``."""
    nothing = np.empty(0, dtype=np.int64)
    queries = bundle.vectors[rows]
    exact = ExactIndex(bundle.items).search(queries, DEPTH, exclude=nothing)
    found = index.search(queries, DEPTH, exclude=nothing)
    # By score, not by id: where scores tie, either video is right.
    good = found.scores >= exact.scores[:, -1:] - SCORE_TOLERANCE
    return float(good.sum() / exact.scores.size)
