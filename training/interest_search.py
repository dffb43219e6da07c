"""One search per interest of a user over all video vectors, merged into one list.

Shape letters: B users, K interests, D dimensions, V videos, N places of a list, M hits per interest, S videos
seen by the users.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from features.merge import NO_VIDEO, merge_interests
from features.top import NO_PLACE
from training.ranked import Ranked
from training.search import search


@dataclass(frozen=True, slots=True)
class VectorCatalogue:
    """Videos with their vectors, in popular order."""

    video_ids: Int64[np.ndarray, " V"]
    vectors: Float32[np.ndarray, "V D"]


def search_interests(
    interests: Float32[np.ndarray, "B K D"],
    searched: Bool[np.ndarray, "B K"],
    seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
    catalogue: VectorCatalogue,
    top_n: int,
    *,
    weights: Float[np.ndarray, "B K"],
    min_share: float | None = None,
) -> Ranked:
    """The best unseen videos over the searched interests; users with none have an empty list.

    Args:
        seen: place of the user and place of the video in the catalogue, of everything that was seen.
        weights: of the interests, which share the places if there is a ``min_share``.
    """
    found, values = _search(interests, searched, seen, catalogue, top_n)
    return Ranked(
        merge_interests(found, values, weights, top_n, min_share=min_share), interests, searched, found
    )


def _search(
    interests: Float32[np.ndarray, "B K D"],
    searched: Bool[np.ndarray, "B K"],
    seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
    catalogue: VectorCatalogue,
    depth: int,
) -> tuple[Int64[np.ndarray, "B K M"], Float32[np.ndarray, "B K M"]]:
    """Ids and scores of the unseen hits of each searched interest; the others found nothing."""
    users, videos = seen
    # Each interest of a user hides what the user saw: seen video s stands once per interest.
    row_of = np.where(searched, searched.cumsum().reshape(searched.shape) - 1, -1)
    rows = row_of[users]  # (S, K)
    hidden_rows, hidden = rows[rows >= 0], np.repeat(videos, (rows >= 0).sum(axis=1))
    order = np.argsort(hidden_rows, kind="stable")
    hidden_pairs = (hidden_rows[order], hidden[order])
    places, scores = search(interests[searched], catalogue.vectors, depth, hidden=hidden_pairs)
    shape = (*searched.shape, places.shape[1])
    ids, values = np.full(shape, NO_VIDEO, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32)
    ids[searched] = np.where(places == NO_PLACE, NO_VIDEO, catalogue.video_ids[places])
    values[searched] = scores
    return ids, values
