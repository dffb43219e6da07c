"""Attributes of the videos of one bundle, in memory: a look-up in the feature store costs 13 ms per 200.

Shape letters: N any number of ids, D dimensions.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int64

from features.bundle import Bundle
from features.filters import VideoFilters
from features.live_items import LiveItems
from features.schema import DURATION_SECONDS, PAD_ROW, TAG_IDS, UPLOADER_ID
from features.trend import has_trend
from features.video_facts import BundleFacts
from features.vocabulary import Vocabulary
from serving.errors import UnknownVideoError
from serving.shown import ShownVideos

NO_UPLOADER = -1
NOTHING: Int64[np.ndarray, " _"] = np.empty(0, dtype=np.int64)


class Catalogue:
    """Tags and uploader per video id; a video outside it has none.

    Args:
        live: the bundle's videos of today; as it was trained if ``None``.
        unlisted: what other channels may find besides, see ``features/hidden.py``.
    """

    def __init__(
        self,
        bundle: Bundle,
        live: LiveItems | None = None,
        unlisted: Int64[np.ndarray, " N"] = NOTHING,
    ) -> None:
        self._unlisted = unlisted
        self._live = live or LiveItems(bundle)
        self.vocabulary: Vocabulary = self._live.vocabulary
        self.facts = BundleFacts(self._live)
        self.manifest = bundle.manifest
        self.shown = ShownVideos(self.vocabulary)
        items = self._live.items
        uploaders = pc.fill_null(items[UPLOADER_ID], NO_UPLOADER)
        self._uploaders = uploaders.to_numpy()
        tags = pc.fill_null(items[TAG_IDS], pa.scalar([], pa.list_(pa.int64()))).combine_chunks()
        self._tag_starts = tags.offsets.to_numpy()
        self._tags = tags.values.to_numpy(zero_copy_only=False)
        self._durations = items[DURATION_SECONDS].to_pylist()

    def __len__(self) -> int:
        return len(self.vocabulary)

    def vector(self, video_id: int) -> Float32[np.ndarray, " D"]:
        """The vector of one video; its trend, which says nothing of likeness, counts as nothing.

        Raises:
            UnknownVideoError: nobody knows it, or too little to make a vector of.
        """
        row = int(self.vocabulary.rows_of(np.array([video_id]))[0])
        if row == PAD_ROW:
            raise UnknownVideoError(f"the release knows no video {video_id}")
        if not self._live.is_searched[row - 1]:
            raise UnknownVideoError(f"the release has no vector of video {video_id} until the next training")
        vector = self._live.vectors[row - 1].copy()
        if has_trend(self._live.bundle):
            vector[-1] = 0.0
        return vector

    def outside(self, filters: VideoFilters) -> Int64[np.ndarray, " N"]:
        """Ids that ``filters`` rule out: those that do not pass, and those that nothing is known of."""
        if not filters.are_set:
            return NOTHING
        ruled_out = self.vocabulary.video_ids[~filters.mask(self._live.items)]
        return np.concatenate([ruled_out, self._unlisted])

    def attributes(self, video_ids: Int64[np.ndarray, " N"]) -> list[tuple[tuple[int, ...], int | None]]:
        """Tags and uploader of each id."""
        rows = self.vocabulary.rows_of(video_ids)
        if not len(self.vocabulary):
            return [((), None) for _ in rows]
        places = np.maximum(rows - 1, 0)
        starts = self._tag_starts[places]
        counts = np.where(rows == PAD_ROW, 0, self._tag_starts[places + 1] - starts)
        ends = counts.cumsum()
        tags = self._tags[np.repeat(starts - ends + counts, counts) + np.arange(counts.sum())].tolist()
        uploaders = np.where(rows == PAD_ROW, NO_UPLOADER, self._uploaders[places]).tolist()
        return [
            (tuple(tags[end - count : end]), None if uploader == NO_UPLOADER else uploader)
            for end, count, uploader in zip(ends.tolist(), counts.tolist(), uploaders, strict=True)
        ]

    def durations(self, video_ids: Int64[np.ndarray, " N"]) -> list[float | None]:
        """Seconds of each id, ``None`` where unknown."""
        rows = self.vocabulary.rows_of(video_ids).tolist()
        return [None if row == PAD_ROW else self._durations[row - 1] for row in rows]
