"""Hits of several interests to one ranked list; offline evaluation and serving run this same code.

A video that several interests found stays once, under the interest that scores it highest; this is
the max read-out of multi-interest retrieval. ``diversify`` trades score for variety afterwards. Both come
from the aggregation module of ComiRec (Cen et al., Controllable Multi-Interest Framework for
Recommendation, KDD 2020).

Shape letters: B users, K interests, M hits per interest, N results, C candidates of the merge.
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


def diversify(
    candidates: Merged, categories: Int64[np.ndarray, "B C"], top_n: int, *, diversity: float
) -> Merged:
    """``top_n`` of the candidates, chosen greedily for score and for variety of categories.

    Each step takes the candidate with the greatest score + diversity * (chosen ones of another category),
    so that the list S tends to maximise the sum of its scores + diversity * (pairs of different categories
    in S). 0 keeps the order of ``merge_hits``; ties go to the earlier candidate. The scores stay those of
    the search, so they need not descend any more.

    Args:
        candidates: more than ``top_n``, or there is nothing to choose: merge with a greater ``top_n`` first.
        categories: of each candidate, such as its first tag; negative is unknown, which differs from none.
        diversity: lambda of the paper, in units of the score.
    """
    if diversity < 0:
        raise ValueError(f"diversity is {diversity}; it must be at least 0")
    users = np.arange(len(candidates.video_ids))
    is_known = categories >= 0
    worth = candidates.scores.astype(np.float64)
    chosen = np.empty((len(users), min(top_n, worth.shape[1])), dtype=np.int64)
    for rank in range(chosen.shape[1]):
        best = worth.argmax(axis=1)
        chosen[:, rank] = np.where(np.isneginf(worth[users, best]), -1, best)
        category = categories[users, best][:, None]
        worth += diversity * (is_known & (category >= 0) & (categories != category))
        worth[users, best] = -np.inf
    missing = chosen < 0
    return Merged(
        np.where(missing, NO_VIDEO, np.take_along_axis(candidates.video_ids, chosen, axis=1)),
        np.where(missing, -np.inf, np.take_along_axis(candidates.scores, chosen, axis=1)),
        np.where(missing, -1, np.take_along_axis(candidates.interests, chosen, axis=1)),
    )


def _nothing(num_users: int, width: int) -> Merged:
    nobody = np.full((num_users, width), NO_VIDEO, dtype=np.int64)
    return Merged(nobody, np.full(nobody.shape, -np.inf), nobody)
