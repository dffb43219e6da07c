"""What is known of the videos of one bundle, as arrays, for ``features/arrange.py``.

Shape letters: R rows (row 0 is a video outside the bundle), T tags of one video, D dimensions, B users,
C candidates.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int64

from features.arrange import NO_TAG, NO_UPLOADER, FactsOf, VideoFacts
from features.bundle import Bundle
from features.errors import BadInputError
from features.live_items import LiveItems
from features.merge_config import INTERESTS
from features.schema import PAD_ROW, TAG_IDS, UPLOADER_ID

MAX_TAGS: Final = 16
"""Further tags of a video are not counted."""


class BundleFacts:
    """Facts of any candidates, read when they are first needed; a video outside the bundle has none.

    Args:
        bundle: as it was trained, or its videos of today.
    """

    def __init__(self, bundle: Bundle | LiveItems) -> None:
        self._bundle = bundle

    def __call__(self, video_ids: Int64[np.ndarray, "B C"], with_vectors: bool) -> VideoFacts:
        """See ``FactsOf``."""
        rows = self._bundle.vocabulary.rows_of(video_ids.ravel()).reshape(video_ids.shape)
        vectors = self._vectors[rows] if with_vectors else None
        return VideoFacts(self._uploaders[rows], self._tags[rows], vectors)

    @cached_property
    def _uploaders(self) -> Int64[np.ndarray, " R"]:
        known = pc.fill_null(self._bundle.items[UPLOADER_ID], NO_UPLOADER).to_numpy()
        return np.concatenate([[NO_UPLOADER], known])

    @cached_property
    def _tags(self) -> Int64[np.ndarray, "R T"]:
        column = self._bundle.items[TAG_IDS].combine_chunks()
        owners = pc.list_parent_indices(column).to_numpy()
        values = column.flatten().cast(pa.int64()).to_numpy(zero_copy_only=False)
        counts = np.bincount(owners, minlength=len(column))
        places = np.arange(len(owners)) - np.repeat(counts.cumsum() - counts, counts)
        width = int(min(max(counts.max(initial=1), 1), MAX_TAGS))
        kept = places < width
        tags = np.full((len(column) + PAD_ROW + 1, width), NO_TAG, dtype=np.int64)
        tags[owners[kept] + 1, places[kept]] = values[kept]
        return tags

    @cached_property
    def _vectors(self) -> Float32[np.ndarray, "R D"]:
        vectors = self._bundle.vectors
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.vstack([np.zeros((1, vectors.shape[1]), dtype=np.float32), vectors / lengths])


def facts_of_channels(items: Mapping[str, LiveItems]) -> FactsOf:
    """The facts of the channel ``interests``; without it, of the first bundle that knows its videos.

    If there is none, an arrangement that asks gets a ``BadInputError``.
    """
    first = min(items, key=lambda name: (name != INTERESTS, name), default=None)
    return BundleFacts(items[first]) if first else nobody_knows


def nobody_knows(video_ids: Int64[np.ndarray, "B C"], with_vectors: bool) -> VideoFacts:
    """Facts where no bundle has any; raises ``BadInputError``."""
    raise BadInputError("to arrange lists, one of the bundles must know its videos: add one with vectors")
