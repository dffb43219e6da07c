"""The videos of a bundle as they are today: its own ones, seen through its overlay (``features/overlay.py``).

An extractor reads rows of its own tables. A new video of a history goes through the item encoder, too, and
is read as the known video that its vector is nearest to (``history_vocabulary``).

Shape letters: V videos of the bundle or of a collection, C videos that the overlay shows, R videos shown,
D dimensions, N any videos, U uploaders.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int64

from features.bundle import Bundle, Manifest
from features.days import day_of
from features.overlay import (
    COLUMNS,
    KINDS_WITH_ITEMS,
    OVERLAY_SCHEMA,
    STAND_IN,
    day_of_overlay,
    overlay_of,
    read_overlay,
    read_snapshot,
)
from features.schema import IS_ONLINE, PAD_ROW, UPLOADER_ID, VECTOR, VIDEO_ID
from features.settings import Settings
from features.vocabulary import Vocabulary


@runtime_checkable
class VectorTable(Protocol):
    """What a collection is filled from: a bundle as it was trained, or its videos of today."""

    @property
    def manifest(self) -> Manifest:
        """Of the bundle."""
        ...

    @property
    def items(self) -> pa.Table:
        """As ``item_vectors.parquet``."""
        ...

    @property
    def vectors(self) -> Float32[np.ndarray, "V D"]:
        """Of ``items``."""
        ...

    @property
    def video_ids(self) -> Int64[np.ndarray, " V"]:
        """Of ``items``."""
        ...


def live_items(bundles: Mapping[str, Bundle], settings: Settings) -> dict[str, "LiveItems"]:
    """The videos of today of each channel whose bundle has items."""
    return {
        name: LiveItems.read(bundle, settings)
        for name, bundle in bundles.items()
        if bundle.manifest.kind in KINDS_WITH_ITEMS
    }


def items_at(bundles: Mapping[str, Bundle], moment: datetime, settings: Settings) -> dict[str, "LiveItems"]:
    """The videos that serving would have known at ``moment``: of the newest snapshot of the days before it.

    Nothing is written; an overlay that is there only saves encoding. As trained where there is no snapshot.
    """
    snapshot = read_snapshot(settings, day_of(moment - timedelta(microseconds=1)))

    def items_of(bundle: Bundle) -> LiveItems:
        if snapshot is None:
            return LiveItems(bundle)
        return LiveItems(bundle, overlay_of(bundle, snapshot, read_overlay(settings, bundle.name)))

    return {name: items_of(b) for name, b in bundles.items() if b.manifest.kind in KINDS_WITH_ITEMS}


class LiveItems:
    """The videos of a bundle as they are today: its own ones and its overlay.

    ``vocabulary``, ``items`` and ``vectors`` are those of the videos that may be shown. Their rows are not
    those of ``bundle.vocabulary``, which the extractor reads.

    Args:
        overlay: ``None`` leaves everything as it was trained.
    """

    def __init__(self, bundle: Bundle, overlay: pa.Table | None = None) -> None:
        self.bundle = bundle
        self._overlay = OVERLAY_SCHEMA.empty_table() if overlay is None else overlay
        self._changed = self._overlay.filter(pc.field(IS_ONLINE))
        own = bundle.vocabulary.rows_of(self._changed[VIDEO_ID].to_numpy())
        is_shown = ~np.isin(bundle.video_ids, self.hidden)
        places = np.arange(len(bundle.video_ids))  # (V,); beyond V: rows of the overlay
        num_known = len(places)
        is_own = own != PAD_ROW
        later = num_known + np.arange(len(own))
        attributes = places.copy()
        attributes[own[is_own] - 1] = later[is_own]
        has_new = self._changed[VECTOR].is_valid().to_numpy()
        vectors = places.copy()
        vectors[own[is_own & has_new] - 1] = later[is_own & has_new]
        self._attribute_places = np.concatenate([attributes[is_shown], later[~is_own]])
        self._vector_places = np.concatenate([vectors[is_shown], np.where(has_new, later, -1)[~is_own]])

    @classmethod
    def read(cls, bundle: Bundle, settings: Settings) -> "LiveItems":
        """With the overlay that there is now."""
        return cls(bundle, read_overlay(settings, bundle.name))

    @property
    def name(self) -> str:
        """``<model>/<version>`` of the bundle."""
        return self.bundle.name

    @property
    def day(self) -> str | None:
        """Day of the snapshot behind the overlay; ``None`` without one."""
        return day_of_overlay(self._overlay)

    @cached_property
    def hidden(self) -> Int64[np.ndarray, " N"]:
        """Videos that nobody is shown, whoever finds them; ascending."""
        return self._overlay.filter(~pc.field(IS_ONLINE))[VIDEO_ID].to_numpy()

    @cached_property
    def items(self) -> pa.Table:
        """Ids and attributes."""
        both = [part.select(list(COLUMNS)) for part in (self.bundle.items, self._changed)]
        return pa.concat_tables([part.cast(both[0].schema) for part in both]).take(self._attribute_places)

    @cached_property
    def video_ids(self) -> Int64[np.ndarray, " R"]:
        """Ids in the order of ``items``: the bundle's order of popularity, then those that came later."""
        return self.items[VIDEO_ID].to_numpy()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Ids to rows of ``items``."""
        return Vocabulary(self.video_ids)

    @cached_property
    def history_vocabulary(self) -> "HistoryVocabulary":
        """Ids of watched videos to rows of the extractor's tables."""
        later = self._changed.filter(pc.field(STAND_IN).is_valid())
        ids, stand_ins = later[VIDEO_ID].to_numpy(), later[STAND_IN].to_numpy()
        return HistoryVocabulary(self.bundle.vocabulary, ids, stand_ins)

    def uploaders_of(self, video_ids: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " U"]:
        """Ids of the uploaders of these videos; videos of which none is known have none."""
        rows = self.vocabulary.rows_of(video_ids)
        if not (rows != PAD_ROW).any():
            return np.empty(0, dtype=np.int64)
        found = self.items[UPLOADER_ID].take(pa.array(rows[rows != PAD_ROW] - 1))
        return np.unique(found.drop_null().to_numpy())

    @cached_property
    def is_searched(self) -> Bool[np.ndarray, " R"]:
        """Which of them have a vector, and so can be found by one."""
        return self._vector_places >= 0

    @cached_property
    def vectors(self) -> Float32[np.ndarray, "R D"]:
        """Zeros where there is none."""
        if not len(self._overlay):
            return self.bundle.vectors  # a copy of a million vectors costs 256 MB
        nothing = np.zeros((1, self.bundle.manifest.dim), dtype=np.float32)
        return np.concatenate([self.bundle.vectors, self._new_vectors(), nothing])[self._vector_places]

    @property
    def indexed(self) -> "IndexedVideos":
        """What the collection of the bundle holds. It keeps what it works out: take it once.

        Not kept here, as it refers to this: in a circle both would outlive their release, since serving
        freezes the heap (``serving/run.py``) and the collector then frees no circle of before.
        """
        return IndexedVideos(self)

    def _new_vectors(self) -> Float32[np.ndarray, "C D"]:
        column = self._changed[VECTOR].combine_chunks()
        vectors = np.zeros((len(column), self.bundle.manifest.dim), dtype=np.float32)
        found = column.is_valid().to_numpy(zero_copy_only=False)
        vectors[found] = column.drop_null().flatten().to_numpy().reshape(-1, vectors.shape[1])
        return vectors


class HistoryVocabulary(Vocabulary):
    """The vocabulary of a bundle, in which later videos have the rows of others.

    Args:
        later_ids: videos outside the vocabulary.
        stand_ins: a video of the vocabulary for each.
    """

    def __init__(
        self, vocabulary: Vocabulary, later_ids: Int64[np.ndarray, " N"], stand_ins: Int64[np.ndarray, " N"]
    ) -> None:
        super().__init__(vocabulary.video_ids)
        self._later = Vocabulary(later_ids)
        self._rows_of_later = np.concatenate([[PAD_ROW], vocabulary.rows_of(stand_ins)])

    def rows_of(self, video_ids: Int64[np.ndarray, "*S"]) -> Int64[np.ndarray, "*S"]:
        """See ``Vocabulary``; ``PAD_ROW`` where nothing is known of a video."""
        rows = super().rows_of(video_ids)
        return np.where(rows == PAD_ROW, self._rows_of_later[self._later.rows_of(video_ids)], rows)


class IndexedVideos:
    """Those of ``LiveItems`` that have a vector, as a ``VectorTable``."""

    def __init__(self, live: LiveItems) -> None:
        self.manifest = live.bundle.manifest
        self._live = live

    @cached_property
    def items(self) -> pa.Table:
        """See ``VectorTable``."""
        column = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors.ravel()), self.manifest.dim)
        return self._live.items.filter(pa.array(self._live.is_searched)).add_column(1, VECTOR, column)

    @cached_property
    def vectors(self) -> Float32[np.ndarray, "V D"]:
        """See ``VectorTable``."""
        all_searched = self._live.is_searched.all()
        return self._live.vectors if all_searched else self._live.vectors[self._live.is_searched]

    @cached_property
    def video_ids(self) -> Int64[np.ndarray, " V"]:
        """See ``VectorTable``."""
        return self._live.video_ids[self._live.is_searched]
