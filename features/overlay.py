"""What became of the videos since a bundle was trained: a table beside the bundle, which never changes.

``FACET_HOME/catalogue/<model>/<version>.parquet`` holds a row per video that is new, changed, or not to be
shown any more: ``video_id``, the attributes of a bundle's items, ``is_online``, ``vector``, which is null
where the bundle's own still holds or nothing is known to make one of, and ``stand_in``. The file is replaced
as a whole; serving, the index and ``recall-batch`` read a bundle through it (``features/live_items.py``), so
that all of them know the same videos.

A video that any snapshot listed and that is not online in the newest one is not shown. One that no snapshot
ever listed is left as the bundle has it.

Shape letters: N any videos, D dimensions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64

from features.bundle import ATTRIBUTES, INTERESTS_KIND, STORED_INTERESTS_KIND, Bundle
from features.item_encoder import encode_videos
from features.lake import Lake, connect
from features.schema import IS_ONLINE, PAD_ROW, SCHEMAS, VECTOR, VIDEO_ID, VIDEOS
from features.settings import Settings
from features.stage import write_parquet
from features.trend import has_trend

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
    if before is None or not (before.equals(overlay) and day_of_overlay(before) == snapshot.day):
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


def day_of_overlay(overlay: pa.Table) -> str | None:
    """Day of the snapshot behind it; ``None`` without one."""
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
