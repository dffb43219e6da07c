"""Hits of several interests to one ranked list; offline evaluation and serving run this same code.

A video that several interests found stays once, under the interest that scores it highest; this is
the max read-out of multi-interest retrieval (Cen et al., ComiRec, KDD 2020, lambda = 0).

Shape letters: B users, K interests, M hits per interest, N results.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int64

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
    ids = video_ids.reshape(num_users, -1)
    values = np.where(ids == NO_VIDEO, -np.inf, scores.reshape(num_users, -1))
    interests = np.broadcast_to(np.repeat(np.arange(num_interests), depth), ids.shape)

    best_of_video = np.lexsort((interests, -values, ids))  # (B, K*M): groups of one video, best first
    grouped = np.take_along_axis(ids, best_of_video, axis=1)
    repeated = np.zeros_like(grouped, dtype=bool)
    repeated[:, 1:] = grouped[:, 1:] == grouped[:, :-1]
    np.put_along_axis(
        values, best_of_video, np.where(repeated, -np.inf, np.take_along_axis(values, best_of_video, 1)), 1
    )

    order = np.lexsort((interests, ids, -values))[:, :top_n]
    kept = np.take_along_axis(values, order, axis=1)
    missing = np.isneginf(kept)
    return Merged(
        np.where(missing, NO_VIDEO, np.take_along_axis(ids, order, axis=1)),
        kept,
        np.where(missing, -1, np.take_along_axis(interests, order, axis=1)),
    )
