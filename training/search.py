"""Exact search by inner product for many queries at once; memory does not grow with the catalogue.

Shape letters: R queries, D dimensions, V videos, M hits per query, S hidden pairs of query and video.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32, Int64

from features.top import NO_PLACE, best_of

SCORES_PER_CHUNK: Final = 1 << 22
"""16 MB of scores at a time: the allocator reuses them, and a million videos still fit."""


def search(
    queries: Float32[np.ndarray, "R D"],
    vectors: Float32[np.ndarray, "V D"],
    depth: int,
    *,
    hidden: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
) -> tuple[Int64[np.ndarray, "R M"], Float32[np.ndarray, "R M"]]:
    """Places in ``vectors`` of the min(depth, V) best of each query and their scores, best first.

    Ties go to the smaller place; places are -1 and scores -inf where fewer are left.

    Args:
        hidden: rows of queries, ascending, and the places that each must not find.
    """
    shape = (len(queries), min(depth, len(vectors)))
    places = np.full(shape, NO_PLACE, dtype=np.int64)
    scores = np.full(shape, -np.inf, dtype=np.float32)
    rows, not_these = hidden
    step = max(SCORES_PER_CHUNK // max(len(vectors), 1), 1)
    for start in range(0, len(queries), step):
        chunk = slice(start, start + step)
        first, last = np.searchsorted(rows, [start, start + step])
        found = queries[chunk] @ vectors.T  # (R, V)
        found[rows[first:last] - start, not_these[first:last]] = -np.inf
        places[chunk], scores[chunk] = best_of(found, depth)
    return places, scores
