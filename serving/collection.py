"""The Milvus collection of one bundle: its name, its fields, how it is filled, filtered and read back.

Unknown attributes are stored as the values of ``UNKNOWN``: null would need Milvus 2.5.

Shape letters: S sampled or excluded videos, D dimensions.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32, Int64

from features.bundle import ATTRIBUTES, Manifest
from features.filters import VideoFilters
from features.live_items import VectorTable
from features.schema import (
    CATEGORY,
    DURATION_SECONDS,
    LANGUAGE,
    PUBLISHED_AT,
    TAG_IDS,
    UPLOADER_ID,
    VECTOR,
    VIDEO_ID,
)
from serving.milvus import MilvusConnection

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

PREFIX: Final = "videos_"
ALIAS: Final = "videos_live"
"""For people who look at Milvus; written after the pointer and never read."""
INSERT_ROWS: Final = 2_000
FLAT_BELOW: Final = 20_000
"""Exact search is fast enough below this many videos: 16 ms for 4 interests over 5,000 on Milvus Lite."""
FLAT: Final = "FLAT"
HNSW: Final = "HNSW"
HNSW_M: Final = 32
HNSW_EF_CONSTRUCTION: Final = 200
UNKNOWN: Final[dict[str, Any]] = {
    UPLOADER_ID: -1,
    TAG_IDS: [],
    CATEGORY: "",
    DURATION_SECONDS: -1.0,
    PUBLISHED_AT: 0,
    LANGUAGE: "",
}
MAX_TAGS: Final = 4096
MAX_TEXT_BYTES: Final = 65_535
"""Milvus' own limits of an array and a string."""


def collection_name(manifest: Manifest) -> str:
    """``videos_<model>_<version>`` in the letters that Milvus allows."""
    return PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", f"{manifest.model}_{manifest.version}")


def index_parameters(num_videos: int, *, flat_below: int = FLAT_BELOW) -> dict[str, Any]:
    """How the vectors are indexed: exact for small catalogues, HNSW for large ones."""
    if num_videos < flat_below:
        return {"index_type": FLAT, "metric_type": "IP"}
    return {
        "index_type": HNSW,
        "metric_type": "IP",
        "params": {"M": HNSW_M, "efConstruction": HNSW_EF_CONSTRUCTION},
    }


def index_type(client: "MilvusClient", name: str, *, timeout_seconds: float) -> str:
    """How the vectors of a collection are indexed; it may have grown or shrunk since it was built."""
    # Milvus names an index like its field unless told otherwise.
    found = client.describe_index(name, VECTOR, timeout=timeout_seconds)
    return str(found["index_type"]) if found else FLAT


def search_parameters(kind: str, limit: int) -> dict[str, Any]:
    """How an index of that type is searched; HNSW needs at least ``limit`` places in its beam."""
    if kind != HNSW:
        return {"metric_type": "IP"}
    return {"metric_type": "IP", "params": {"ef": max(256, 2 * limit)}}


def build_collection(
    connection: MilvusConnection,
    bundle: VectorTable,
    *,
    timeout_seconds: float,
    flat_below: int = FLAT_BELOW,
) -> None:
    """Fill the collection of ``bundle`` from nothing; what an interrupted run left is dropped first.

    Args:
        bundle: as it was trained, or with its overlay: ``LiveItems.indexed``.
        flat_below: from so many videos on the index is HNSW.

    Raises:
        IndexUnavailableError: Milvus did not answer.
    """
    name = collection_name(bundle.manifest)
    with connection.translating(f"loading collection {name!r}") as client:
        if client.has_collection(name, timeout=timeout_seconds):
            client.drop_collection(name, timeout=timeout_seconds)
        schema = _schema(client, bundle.manifest.dim)
        client.create_collection(name, schema=schema, consistency_level="Strong", timeout=timeout_seconds)
        for rows in row_batches(bundle, np.arange(len(bundle.video_ids))):
            client.insert(name, rows, timeout=timeout_seconds)
        client.flush(name, timeout=timeout_seconds)
        # The index last: a collection that is loaded while it grows is searched without one for a while.
        index = client.prepare_index_params()
        index.add_index(VECTOR, **index_parameters(len(bundle.video_ids), flat_below=flat_below))
        client.create_index(name, index, timeout=timeout_seconds)
        client.load_collection(name, timeout=timeout_seconds)


def filter_expression(filters: VideoFilters, exclude: Int64[np.ndarray, " S"]) -> str:
    """What Milvus reads as a filter, made of typed values only.

    Args:
        exclude: ids that may not be found.
    """
    parts = []
    if len(exclude):
        parts.append(f"{VIDEO_ID} not in {exclude.tolist()}")
    if filters.categories is not None:
        parts.append(f"{CATEGORY} in {_texts(filters.categories)}")
    if filters.excluded_categories:
        parts.append(f"{CATEGORY} not in {_texts(filters.excluded_categories)}")
    if filters.languages is not None:
        parts.append(f"{LANGUAGE} in {_texts(filters.languages)}")
    if filters.min_duration_seconds is not None:
        parts.append(f"{DURATION_SECONDS} >= {filters.min_duration_seconds!r}")
    if filters.max_duration_seconds is not None:
        parts.append(f"{DURATION_SECONDS} >= 0 and {DURATION_SECONDS} <= {filters.max_duration_seconds!r}")
    if filters.published_after is not None:
        microseconds = int(filters.published_after.timestamp() * 1e6)
        parts.append(f"{PUBLISHED_AT} >= {max(microseconds, UNKNOWN[PUBLISHED_AT] + 1)}")
    return " and ".join(parts)


def _texts(values: Sequence[str]) -> str:
    """A list of strings; the empty one stands for unknown and is never meant."""
    return json.dumps([value for value in values if value], ensure_ascii=False)


def load_collection(connection: MilvusConnection, name: str, *, timeout_seconds: float) -> None:
    """Make an existing collection searchable, for example after a restart of Milvus."""
    with connection.translating(f"loading collection {name!r}") as client:
        client.load_collection(name, timeout=timeout_seconds)


def count_rows(connection: MilvusConnection, name: str, *, timeout_seconds: float) -> int | None:
    """Rows of a loaded collection; ``None`` if there is none, or one that lacks the index that comes last."""
    with connection.translating(f"counting {name!r}") as client:
        if not client.has_collection(name, timeout=timeout_seconds):
            return None
        if not client.list_indexes(name):
            return None
        client.load_collection(name, timeout=timeout_seconds)
        found = client.query(
            name, output_fields=["count(*)"], consistency_level="Strong", timeout=timeout_seconds
        )
    return int(found[0]["count(*)"])


def read_vectors(
    connection: MilvusConnection, name: str, video_ids: Int64[np.ndarray, " S"], *, timeout_seconds: float
) -> dict[int, Float32[np.ndarray, " D"]]:
    """Stored vectors by id; ids that the collection lacks are missing."""
    with connection.translating(f"reading {name!r}") as client:
        rows = client.get(
            name, ids=video_ids.tolist(), output_fields=[VIDEO_ID, VECTOR], timeout=timeout_seconds
        )
    return {row[VIDEO_ID]: np.asarray(row[VECTOR], dtype=np.float32) for row in rows}


def drop_collections(connection: MilvusConnection, names: Sequence[str]) -> list[str]:
    """Drop those of ``names`` that exist and return them."""
    with connection.translating("dropping old collections") as client:
        existing = sorted(set(names) & set(client.list_collections()))
        for name in existing:
            client.drop_collection(name)
    return existing


def point_alias(connection: MilvusConnection, name: str) -> None:
    """Let ``videos_live`` name the collection."""
    with connection.translating(f"pointing {ALIAS!r}") as client:
        if ALIAS in client.list_aliases().get("aliases", []):
            client.alter_alias(name, ALIAS)
        else:
            client.create_alias(name, ALIAS)


def row_batches(videos: VectorTable, places: Int64[np.ndarray, " S"]) -> Iterator[list[dict[str, Any]]]:
    """The rows at ``places`` as Milvus takes them, some at a time."""
    for start in range(0, len(places), INSERT_ROWS):
        part = places[start : start + INSERT_ROWS]
        rows = attribute_rows(videos.items.take(part))
        yield [{**row, VECTOR: vector} for row, vector in zip(rows, videos.vectors[part], strict=True)]


def attribute_rows(items: pa.Table) -> list[dict[str, Any]]:
    """Ids and attributes of ``items`` as a collection holds them."""
    attributes = items.select([VIDEO_ID, *ATTRIBUTES])
    column = attributes.schema.get_field_index(PUBLISHED_AT)
    microseconds = pc.cast(attributes[PUBLISHED_AT], pa.int64())
    rows = attributes.set_column(column, PUBLISHED_AT, microseconds).to_pylist()
    return [{name: UNKNOWN[name] if value is None else value for name, value in row.items()} for row in rows]


def _schema(client: "MilvusClient", dim: int) -> "CollectionSchema":
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(VIDEO_ID, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field(UPLOADER_ID, DataType.INT64)
    schema.add_field(TAG_IDS, DataType.ARRAY, element_type=DataType.INT64, max_capacity=MAX_TAGS)
    schema.add_field(CATEGORY, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    schema.add_field(DURATION_SECONDS, DataType.DOUBLE)
    schema.add_field(PUBLISHED_AT, DataType.INT64)  # microseconds since the epoch
    schema.add_field(LANGUAGE, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    return schema
