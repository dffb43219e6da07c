"""Hits of several interests to one ranked list; offline evaluation and serving run this same code.

A video that several interests found stays once, under the interest that scores it highest; this is
the max read-out of multi-interest retrieval (Cen et al., ComiRec, KDD 2020, lambda = 0).

Shape letters: B users, K interests, M hits per interest, N results.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int64

from features.top import NO_PLACE, best_of

NO_VIDEO: Final = -1
"""Fills the places of a result that nothing was found for."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Best first; ``video_ids`` and ``interests`` are -1 and ``scores`` -inf where nothing is left."""

    video_ids: Int64[np.ndarray, "B N"]
    scores: Float[np.ndarray, "B N"]
    interests: Int64[np.ndarray, "B N"]


def merge_hits(
    video_ids: Int64[np.ndarray, "B K M"], scores: Float[np.ndarray, "B K M"], top_n: int
) -> Merged:
    """The ``top_n`` best distinct videos per user; ties go to the smaller id, then the lower interest.

    Args:
        video_ids: ``NO_VIDEO`` where an interest found fewer than M.
    """
    num_users, num_interests, depth = video_ids.shape
    width = num_interests * depth
    if not video_ids.size:
        return _nothing(num_users, min(top_n, width))
    row_start = np.arange(num_users)[:, None] * width
    by_id = np.argsort(video_ids.reshape(num_users, width), axis=1, kind="stable") + row_start
    ids, values = video_ids.ravel()[by_id].ravel(), scores.ravel()[by_id].ravel()

    is_first = np.append(True, ids[1:] != ids[:-1])  # of the hits of one video, lower interests first
    is_first[::width] = True
    video_of = is_first.cumsum() - 1
    best = np.fmax.reduceat(values, np.flatnonzero(is_first))
    winners = np.flatnonzero((values == best[video_of]) & (ids != NO_VIDEO))
    winners = winners[np.diff(video_of[winners], prepend=-1) > 0]
    kept = np.full((num_users, width), -np.inf, dtype=values.dtype)
    kept.ravel()[winners] = values[winners]

    places, kept = best_of(kept, top_n)
    missing, hits = places == NO_PLACE, places + row_start
    interests = by_id.ravel()[hits] % width // depth
    return Merged(np.where(missing, NO_VIDEO, ids[hits]), kept, np.where(missing, -1, interests))


def _nothing(num_users: int, width: int) -> Merged:
    nobody = np.full((num_users, width), NO_VIDEO, dtype=np.int64)
    return Merged(nobody, np.full(nobody.shape, -np.inf), nobody)
