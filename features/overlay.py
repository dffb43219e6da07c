"""What became of the videos since a bundle was trained: a table beside the bundle, which never changes.

``FACET_HOME/catalogue/<model>/<version>.parquet`` holds a row per video that is new, changed, or not to be
shown any more: ``video_id``, the attributes of a bundle's items, ``is_online``, ``vector``, which is null
where the bundle's own still holds or nothing is known to make one of, and ``stand_in``. The file is replaced
as a whole; serving, the index and ``recall-batch`` read a bundle through it (``LiveItems``), so that all of
them know the same videos.

An extractor reads rows of its own tables. A new video of a history goes through the item encoder, too, and
is read as the known video that its vector is nearest to (``history_vocabulary``).

A video that any snapshot listed and that is not online in the newest one is not shown. One that no snapshot
ever listed is left as the bundle has it.

Shape letters: V videos of the bundle, C videos with a row in the overlay, R videos shown, D dimensions,
N any videos.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int64

from features.bundle import ATTRIBUTES, INTERESTS_KIND, STORED_INTERESTS_KIND, Bundle, Manifest
from features.item_encoder import encode_videos
from features.lake import Lake, connect
from features.schema import IS_ONLINE, PAD_ROW, SCHEMAS, VECTOR, VIDEO_ID, VIDEOS
from features.settings import Settings
from features.stage import write_parquet
from features.trend import has_trend
from features.vocabulary import Vocabulary

KINDS_WITH_ITEMS: Final = (INTERESTS_KIND, STORED_INTERESTS_KIND)
"""Kinds of bundles that hold items, and so can have an overlay."""
FOLDER: Final = "catalogue"
STAND_IN: Final = "stand_in"
"""The video of the bundle whose vector is nearest to that of a new one: in histories it stands for it."""
DAY: Final = b"snapshot_day"
LAST_DAY: Final = "9999-12-31"
ENCODED_ROWS: Final = 8192
"""Videos that go through the item encoder at once; bounds its memory."""
SAME_VECTOR: Final = 1e-5
"""The item encoder gives a stored vector to this; what differs by less did not change."""
COLUMNS: Final = (VIDEO_ID, *ATTRIBUTES)
OVERLAY_SCHEMA: Final = pa.schema(
    [
        *(SCHEMAS[VIDEOS].field(name).with_nullable(name != VIDEO_ID) for name in COLUMNS),
        pa.field(IS_ONLINE, pa.bool_(), nullable=False),
        pa.field(VECTOR, pa.list_(pa.float32())),
        pa.field(STAND_IN, pa.int64()),
    ]
)
_Encoded = tuple[np.ndarray | None, int | None]
"""Vector and stand-in of one video."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The videos as one curated day has them."""

    day: str
    videos: pa.Table
    """Those that are online: id and attributes, by id."""
    offline: Int64[np.ndarray, " N"]
    """Those that some day up to this one listed and that are not online on it."""


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


def read_snapshot(settings: Settings, day: str | None = None) -> Snapshot | None:
    """The newest curated videos up to ``day``; ``None`` if there are none."""
    lake = Lake(settings)
    newest = lake.newest_day(VIDEOS, day or LAST_DAY)
    if newest is None:
        return None
    connection = connect()
    columns = ", ".join(COLUMNS)
    own = lake.scan(connection, VIDEOS, [newest]).filter(IS_ONLINE).project(columns).order(VIDEO_ID)
    videos = own.to_arrow_table()
    connection.register("online", videos)
    days = [each for each in lake.day_counts(VIDEOS) if each <= newest]
    listed = lake.scan(connection, VIDEOS, days).project(VIDEO_ID).distinct()
    gone = listed.query("listed", f"FROM listed ANTI JOIN online USING ({VIDEO_ID}) ORDER BY {VIDEO_ID}")
    assert gone is not None, "a query has a result"
    return Snapshot(newest, videos, gone.to_arrow_table()[VIDEO_ID].to_numpy())


def overlay_path(settings: Settings, bundle: str) -> Path:
    """Where the overlay of ``<model>/<version>`` lies."""
    return settings.root / FOLDER / f"{bundle}.parquet"


def read_overlay(settings: Settings, bundle: str) -> pa.Table | None:
    """The overlay of ``<model>/<version>``, or ``None`` before the first."""
    path = overlay_path(settings, bundle)
    return pq.read_table(path) if path.exists() else None


def live_items(bundles: Mapping[str, Bundle], settings: Settings) -> dict[str, "LiveItems"]:
    """The videos of today of each channel whose bundle has items."""
    return {
        name: LiveItems.read(bundle, settings)
        for name, bundle in bundles.items()
        if bundle.manifest.kind in KINDS_WITH_ITEMS
    }


def as_trained(bundles: Mapping[str, Bundle]) -> dict[str, "LiveItems"]:
    """The same without overlays."""
    return {name: LiveItems(b) for name, b in bundles.items() if b.manifest.kind in KINDS_WITH_ITEMS}


def overlay_stamps(settings: Settings, bundles: Iterable[str]) -> tuple[int | None, ...]:
    """What changes when an overlay of these bundles is replaced; costs no reading."""
    paths = (overlay_path(settings, bundle) for bundle in bundles)
    return tuple(path.stat().st_mtime_ns if path.exists() else None for path in paths)


def renew_overlay(settings: Settings, bundle: Bundle, snapshot: Snapshot) -> pa.Table:
    """Bring the overlay of ``bundle`` to ``snapshot``; one that says the same already is not touched.

    A video that is as it was gets no new vector, so running it again changes nothing.
    """
    before = read_overlay(settings, bundle.name)
    overlay = overlay_of(bundle, snapshot, before)
    if before is None or not (before.equals(overlay) and _day_of(before) == snapshot.day):
        write_parquet(overlay, overlay_path(settings, bundle.name))
    return overlay


def drop_overlays(settings: Settings, kept: Iterable[str]) -> None:
    """Delete the overlays of all bundles but ``kept``, each ``<model>/<version>``."""
    paths = {overlay_path(settings, bundle) for bundle in kept}
    for path in (settings.root / FOLDER).glob("*/*.parquet"):
        if path not in paths:
            path.unlink(missing_ok=True)


def overlay_of(bundle: Bundle, snapshot: Snapshot, before: pa.Table | None = None) -> pa.Table:
    """In what ``snapshot`` differs from the items of ``bundle``, with the vectors of what is new or changed.

    Args:
        before: an overlay of the same bundle, whose vectors are taken for videos that did not change since.
    """
    changed = _rows_without(snapshot.videos, bundle.items)
    encoded: dict[int, _Encoded] = {}
    if bundle.manifest.kind == INTERESTS_KIND and bundle.item_fields.names:
        encoded = _encoded(bundle, changed, before)
    found = [encoded.get(video_id, (None, None)) for video_id in changed[VIDEO_ID].to_pylist()]
    more = {
        IS_ONLINE: np.ones(len(changed), dtype=bool),
        VECTOR: pa.array([vector for vector, _ in found], OVERLAY_SCHEMA.field(VECTOR).type),
        STAND_IN: pa.array([stand_in for _, stand_in in found], pa.int64()),
    }
    online = pa.table({name: changed[name] for name in COLUMNS} | more)
    hidden = pa.table({VIDEO_ID: snapshot.offline, IS_ONLINE: np.zeros(len(snapshot.offline), dtype=bool)})
    for field in OVERLAY_SCHEMA:
        if field.name not in hidden.column_names:
            hidden = hidden.append_column(field, pa.nulls(len(hidden), field.type))
    parts = [part.select(OVERLAY_SCHEMA.names).cast(OVERLAY_SCHEMA) for part in (online, hidden)]
    table = pa.concat_tables(parts).sort_by(VIDEO_ID).combine_chunks()
    return table.replace_schema_metadata({DAY: snapshot.day.encode()})


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
        return _day_of(self._overlay)

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

    @cached_property
    def is_searched(self) -> Bool[np.ndarray, " R"]:
        """Which of them have a vector, and so can be found by one."""
        return self._vector_places >= 0

    @cached_property
    def vectors(self) -> Float32[np.ndarray, "R D"]:
        """Zeros where there is none."""
        nothing = np.zeros((1, self.bundle.manifest.dim), dtype=np.float32)
        return np.concatenate([self.bundle.vectors, self._new_vectors(), nothing])[self._vector_places]

    @cached_property
    def indexed(self) -> "IndexedVideos":
        """What the collection of the bundle holds."""
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
        return self._live.vectors[self._live.is_searched]

    @cached_property
    def video_ids(self) -> Int64[np.ndarray, " V"]:
        """See ``VectorTable``."""
        return self._live.video_ids[self._live.is_searched]


def _day_of(overlay: pa.Table) -> str | None:
    day = (overlay.schema.metadata or {}).get(DAY)
    return None if day is None else day.decode()


def _rows_without(videos: pa.Table, known: pa.Table) -> pa.Table:
    """Rows of ``videos`` that ``known`` does not hold exactly so, by id."""
    connection = duckdb.connect()
    connection.register("videos", videos)
    connection.register("known", known)
    columns = ", ".join(COLUMNS)
    query = f"SELECT {columns} FROM videos EXCEPT SELECT {columns} FROM known ORDER BY {VIDEO_ID}"
    return connection.sql(query).to_arrow_table().cast(pa.schema([OVERLAY_SCHEMA.field(n) for n in COLUMNS]))


def _encoded(bundle: Bundle, videos: pa.Table, before: pa.Table | None) -> dict[int, _Encoded]:
    """By id, where the item encoder knows something that the bundle's vector does not say."""
    again, encoded = videos, dict[int, _Encoded]()
    if before is not None:
        again = _rows_without(videos, before.filter(pc.field(IS_ONLINE)))
        changed, there = set(again[VIDEO_ID].to_pylist()), set(videos[VIDEO_ID].to_pylist())
        kept = before.filter(pc.field(VECTOR).is_valid())
        columns = (kept[VIDEO_ID].to_pylist(), kept[VECTOR].to_numpy(), kept[STAND_IN].to_pylist())
        encoded = {
            video_id: (vector, stand_in)
            for video_id, vector, stand_in in zip(*columns, strict=True)
            if video_id in there - changed
        }
    for start in range(0, len(again), ENCODED_ROWS):
        part = again.slice(start, ENCODED_ROWS)
        ids, vectors = part[VIDEO_ID].to_numpy(), encode_videos(bundle, part)
        rows = bundle.vocabulary.rows_of(ids)
        stored = np.zeros_like(vectors)
        stored[rows != PAD_ROW] = bundle.vectors[rows[rows != PAD_ROW] - 1]
        differs = np.abs(vectors - stored).max(axis=1) > SAME_VECTOR
        for place in np.flatnonzero(differs).tolist():
            known = rows[place] != PAD_ROW
            encoded[int(ids[place])] = (vectors[place], None if known else _nearest(bundle, vectors[place]))
    return encoded


def _nearest(bundle: Bundle, vector: Float32[np.ndarray, " D"]) -> int:
    """The video of the bundle with the most similar vector; its trend says nothing of likeness."""
    num_alike = len(vector) - has_trend(bundle)
    return int(bundle.video_ids[np.argmax(bundle.vectors[:, :num_alike] @ vector[:num_alike])])
