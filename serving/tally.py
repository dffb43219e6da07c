"""How much was searched and found for one answer, for metrics."""

from collections.abc import Mapping

import numpy as np

from features.merge import NO_VIDEO
from features.merge_config import INTERESTS
from serving.channels.asking import Asked
from serving.result import Rule, Tally


def tally_of(asked: Asked, ruled_out: Mapping[Rule, int], *, num_unread: int = 0) -> Tally:
    """Counts over all channels that search with interests; a hit is shared within its channel.

    Args:
        ruled_out: videos that each rule kept out.
        num_unread: watches of the history, which all count as unknown where the interests know none of them.
    """
    num_interests = num_searched = num_hits = num_shared = 0
    num_unknown = num_unread if INTERESTS in asked.unknowing else 0
    for found in asked.found.values():
        if found.interests is None or found.hits is None:
            continue
        num_interests += len(found.interests.is_searched)
        num_unknown += found.interests.num_unknown
        num_searched += int(found.interests.is_searched.sum())
        ids = np.sort(found.hits.video_ids, axis=None)
        starts = np.flatnonzero(np.diff(ids, prepend=NO_VIDEO))
        num_hits += len(starts)
        num_shared += int((np.diff(starts, append=len(ids)) > 1).sum())
    return Tally(num_interests, num_searched, num_hits, num_shared, ruled_out, num_unknown)
