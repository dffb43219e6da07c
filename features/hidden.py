"""Videos that nobody is shown, whichever channel finds them; offline and in serving.

The catalogue of a release is what its channel ``interests`` knows: the videos of the bundle and those of
the newest snapshot (``features/live_items.py``). What a snapshot listed once and the newest does not list
as online is hidden. Where there is a snapshot, so is what the catalogue does not hold at all: ``popular``
and the channels of weights may find such a video, but nobody knows whether it is online. Filters rule it
out in any case, since they cannot judge it.

Shape letters: H hidden videos, U videos outside the catalogue.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64

from features.bundle import RANKING_KIND, Bundle
from features.live_items import LiveItems
from features.merge_config import INTERESTS
from features.schema import PAD_ROW, VIDEO_ID


def hidden_videos(bundles: Mapping[str, Bundle], items: Mapping[str, LiveItems]) -> Int64[np.ndarray, " H"]:
    """Ids, ascending; none without a channel ``interests``.

    Args:
        bundles: by channel.
        items: the videos of today of those that have items.
    """
    catalogue = items.get(INTERESTS)
    if catalogue is None:
        return np.empty(0, dtype=np.int64)
    if catalogue.day is None:
        return catalogue.hidden
    return np.union1d(catalogue.hidden, unlisted_videos(bundles, catalogue))


def unlisted_videos(bundles: Mapping[str, Bundle], catalogue: LiveItems) -> Int64[np.ndarray, " U"]:
    """Ids that some channel may find and that ``catalogue`` does not hold, ascending."""
    known = [
        bundle.ranking[VIDEO_ID].to_numpy()
        if bundle.manifest.kind == RANKING_KIND
        else bundle.vocabulary.video_ids
        for bundle in bundles.values()
    ]
    ids = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *known]))
    return ids[catalogue.vocabulary.rows_of(ids) == PAD_ROW]
