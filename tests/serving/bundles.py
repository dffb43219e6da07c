"""Small bundles whose recall can be worked out by hand.

The extractor of ``write_interests`` has two interests: the vector of the newest known watch and the vector of
the one before it. The activation of each is its share of those two watches' positives.

Shape letters: V videos, D dimensions.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64
from onnx import TensorProto, helper, numpy_helper

from features.bundle import (
    ACTIVATION,
    ACTIVATION_SCHEMA,
    EXTRACTOR,
    INTERESTS_KIND,
    ITEM_ENCODER,
    ITEM_FIELDS,
    ITEM_VECTORS,
    NEIGHBOURS,
    NEIGHBOURS_KIND,
    NEIGHBOURS_SCHEMA,
    RANKING,
    RANKING_KIND,
    RANKING_SCHEMA,
    STORED_INTERESTS_KIND,
    UPLOADS,
    UPLOADS_KIND,
    UPLOADS_SCHEMA,
    USER_INTERESTS,
    VOCABULARY,
    DataSource,
    Manifest,
    item_table,
    write_bundle,
)
from features.item_fields import ItemFields
from features.lake import Lake, curated_schema
from features.positives import PositiveRule
from features.schema import (
    CATEGORY,
    DURATION_SECONDS,
    IS_ONLINE,
    LANDING_DAY,
    LANGUAGE,
    PUBLISHED_AT,
    RANK,
    SCORE,
    SEGMENT,
    SNAPSHOT_DAY,
    TAG_IDS,
    TIMESTAMP,
    UPLOADER_ID,
    VIDEO_ID,
    VIDEOS,
)
from features.settings import Settings
from features.user_vectors import pack_user_vectors
from features.vocabulary import Vocabulary
from serving.index import ExactIndex

HISTORY_LENGTH = 4
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
"""A video is published as many days later as its id says."""

# Cooking (tag 1) points along the first axis, football (tag 2) along the second; 50 is in between and, as
# the last of the vocabulary, the least popular.
VIDEO_IDS = np.array([10, 20, 30, 40, 50])
VECTORS = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8], [0.6, 0.6]], dtype=np.float32)
TAGS = [[1], [2], [1], [2], [1, 2]]
UPLOADERS = [7, 8, 7, 8, 9]


def write_interests(
    settings: Settings,
    version: str = "v1",
    *,
    video_ids: Int64[np.ndarray, " V"] = VIDEO_IDS,
    vectors: Float32[np.ndarray, "V D"] = VECTORS,
    has_fields: bool = False,
) -> Path:
    """An ``interests`` bundle; videos beyond the five above have no tags and uploader 0.

    Args:
        has_fields: the item encoder takes a video without a row for its uploader: 7 cooks, 8 plays, 9 both.
    """

    def write_files(folder: Path) -> None:
        onnx.save(_extractor(vectors), folder / EXTRACTOR)
        onnx.save(_item_encoder(vectors, has_fields=has_fields), folder / ITEM_ENCODER)
        if has_fields:
            fields = ItemFields.of(_videos(video_ids)).only(["uploader_id"])
            pq.write_table(fields.to_table(), folder / ITEM_FIELDS)
        pq.write_table(ACTIVATION_SCHEMA.empty_table(), folder / ACTIVATION)
        pq.write_table(item_table(video_ids, vectors, _videos(video_ids)), folder / ITEM_VECTORS)
        pq.write_table(Vocabulary(video_ids).to_table(), folder / VOCABULARY)

    manifest = _manifest(INTERESTS_KIND, "tiny", version, len(video_ids)).model_copy(
        update={"num_interests": 2, "dim": vectors.shape[1], "history_length": HISTORY_LENGTH}
    )
    return write_bundle(settings.bundles, manifest, write_files)


def snapshot_videos(*videos: dict[str, Any], without: Sequence[int] = ()) -> pa.Table:
    """Curated videos of one day: the five above ``without`` some, with ``videos`` added or in their place."""
    own = _videos(VIDEO_IDS).to_pylist()
    rows = {row[VIDEO_ID]: row | {IS_ONLINE: True} for row in own if row[VIDEO_ID] not in without}
    for video in videos:
        rows[video[VIDEO_ID]] = rows.get(video[VIDEO_ID], {IS_ONLINE: True}) | video
    return pa.Table.from_pylist(sorted(rows.values(), key=lambda row: row[VIDEO_ID]), curated_schema(VIDEOS))


def write_snapshot(settings: Settings, day: str, videos: pa.Table) -> None:
    """Into the lake, as ingest does."""
    for column in (LANDING_DAY, SNAPSHOT_DAY):
        place = videos.schema.get_field_index(column)
        videos = videos.set_column(place, column, pa.array([day] * len(videos)))
    Lake(settings).write_day(VIDEOS, day, videos)


def exact_index(
    video_ids: Int64[np.ndarray, " V"] = VIDEO_IDS, vectors: Float32[np.ndarray, "V D"] = VECTORS
) -> ExactIndex:
    """The videos of such a bundle, searched exactly."""
    return ExactIndex(item_table(video_ids, vectors, _videos(video_ids)))


def write_ranking(settings: Settings, lists: dict[str | None, list[int]], version: str = "p1") -> Path:
    """A ``ranking`` bundle with one list per segment; scores fall by one from the length of the list."""
    columns = {
        SEGMENT: [segment for segment, ids in lists.items() for _ in ids],
        RANK: [rank for ids in lists.values() for rank in range(len(ids))],
        VIDEO_ID: [video_id for ids in lists.values() for video_id in ids],
        SCORE: [float(len(ids) - rank) for ids in lists.values() for rank in range(len(ids))],
    }
    manifest = _manifest(RANKING_KIND, "popularity", version, len(columns[VIDEO_ID]))
    table = pa.table(columns, schema=RANKING_SCHEMA)
    return write_bundle(settings.bundles, manifest, lambda folder: pq.write_table(table, folder / RANKING))


def write_neighbours(
    settings: Settings, weights: dict[tuple[int, int], float], model: str = "cooc", version: str = "n1"
) -> Path:
    """A ``neighbours`` bundle over the five videos: how much a watch of the first speaks for the second."""
    pairs = list(weights)
    columns = [[source for source, _ in pairs], [target for _, target in pairs], list(weights.values())]

    def write_files(folder: Path) -> None:
        pq.write_table(pa.table(columns, schema=NEIGHBOURS_SCHEMA), folder / NEIGHBOURS)
        pq.write_table(Vocabulary(VIDEO_IDS).to_table(), folder / VOCABULARY)

    manifest = _manifest(NEIGHBOURS_KIND, model, version, len(VIDEO_IDS))
    return write_bundle(
        settings.bundles, manifest.model_copy(update={"config": {"plain_weight": 0.5}}), write_files
    )


def write_uploads(
    settings: Settings, weights: dict[tuple[int, int], float], model: str = "followed", version: str = "u1"
) -> Path:
    """An ``uploads`` bundle over the five videos: what each video is worth to who follows the uploader."""
    columns = [[owner for owner, _ in weights], [video for _, video in weights], list(weights.values())]

    def write_files(folder: Path) -> None:
        pq.write_table(pa.table(columns, schema=UPLOADS_SCHEMA), folder / UPLOADS)
        pq.write_table(Vocabulary(VIDEO_IDS).to_table(), folder / VOCABULARY)

    manifest = _manifest(UPLOADS_KIND, model, version, len(VIDEO_IDS))
    return write_bundle(settings.bundles, manifest, write_files)


def write_stored(
    settings: Settings, interests: dict[int, list[list[float]]], model: str = "clusters", version: str = "c1"
) -> Path:
    """A ``stored_interests`` bundle over the five videos, all interests of a user of equal weight."""
    vectors = [np.array(own, dtype=np.float32) for own in interests.values()]
    weights = [np.full(len(own), 1 / len(own), dtype=np.float32) for own in vectors]

    def write_files(folder: Path) -> None:
        rows = pack_user_vectors(np.array(list(interests), dtype=np.int64), vectors, weights)
        pq.write_table(rows, folder / USER_INTERESTS)
        pq.write_table(item_table(VIDEO_IDS, VECTORS, _videos(VIDEO_IDS)), folder / ITEM_VECTORS)
        pq.write_table(Vocabulary(VIDEO_IDS).to_table(), folder / VOCABULARY)

    manifest = _manifest(STORED_INTERESTS_KIND, model, version, len(VIDEO_IDS))
    return write_bundle(
        settings.bundles, manifest.model_copy(update={"num_interests": 4, "dim": 2}), write_files
    )


def unit_vectors(num_videos: int, dim: int, seed: int = 0) -> Float32[np.ndarray, "V D"]:
    """Random directions."""
    vectors = np.random.default_rng(seed).normal(size=(num_videos, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _videos(video_ids: np.ndarray) -> pa.Table:
    known = [dict(zip(VIDEO_IDS.tolist(), column, strict=True)) for column in (UPLOADERS, TAGS)]
    ids = video_ids.tolist()
    return pa.table(
        {
            VIDEO_ID: ids,
            UPLOADER_ID: [known[0].get(i, 0) for i in ids],
            TAG_IDS: pa.array([known[1].get(i) for i in ids], pa.list_(pa.int64())),
            CATEGORY: pa.array([None if i == 10 else "any" for i in ids], pa.string()),
            DURATION_SECONDS: pa.array([None if i == 20 else float(i) for i in ids], pa.float64()),
            PUBLISHED_AT: pa.array([FIRST + timedelta(days=i) for i in ids], TIMESTAMP),
            LANGUAGE: pa.array([{30: "en", 40: 'd"e'}.get(i) for i in ids], pa.string()),
        }
    )


def _manifest(kind: str, model: str, version: str, num_videos: int) -> Manifest:
    moment = datetime(2026, 1, 22, tzinfo=UTC)
    return Manifest(
        kind=kind,
        model=model,
        version=version,
        created_at=moment,
        code_commit="test",
        config={},
        rule=PositiveRule(),
        data=DataSource(
            until=moment,
            snapshots={},
            first_day="2026-01-01",
            last_day="2026-01-21",
            num_watches=9,
            num_positives=3,
            num_users=2,
        ),
        num_videos=num_videos,
    )


def _table(vectors: np.ndarray) -> np.ndarray:
    return np.vstack([np.zeros((1, vectors.shape[1]), dtype=np.float32), vectors])


def _item_encoder(vectors: np.ndarray, *, has_fields: bool) -> onnx.ModelProto:
    nodes = [helper.make_node("Gather", ["table", "video_rows"], ["stored"], axis=0)]
    inputs = [helper.make_tensor_value_info("video_rows", TensorProto.INT64, ["N"])]
    constants = {"table": _table(vectors)}
    if has_fields:
        nodes += [
            helper.make_node("Gather", ["of_uploader", "uploader_id"], ["values"], axis=0),
            helper.make_node("ReduceSum", ["values", "axis"], ["cold"], keepdims=0),
            helper.make_node("Equal", ["video_rows", "none"], ["is_cold"]),
            helper.make_node("Unsqueeze", ["is_cold", "axis"], ["column"]),
            helper.make_node("Where", ["column", "cold", "stored"], ["vectors"]),
        ]
        inputs.append(helper.make_tensor_value_info("uploader_id", TensorProto.INT64, ["N", "G"]))
        constants |= {
            "of_uploader": np.array([[0, 0], [1, 0], [0, 1], [0.6, 0.6]], dtype=np.float32),
            "axis": np.array([1]),
            "none": np.array(0),
        }
    else:
        nodes.append(helper.make_node("Identity", ["stored"], ["vectors"]))
    graph = helper.make_graph(
        nodes,
        "vectors_of_rows",
        inputs,
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["N", vectors.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return _checked(graph)


def _extractor(vectors: np.ndarray) -> onnx.ModelProto:
    constants = {
        "table": _table(vectors),
        "newest_two": np.array([HISTORY_LENGTH - 1, HISTORY_LENGTH - 2]),
        "two": np.array(2),
        "one": np.array(1.0, dtype=np.float32),
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["video_rows", "newest_two"], ["rows"], axis=1),
        helper.make_node("Gather", ["table", "rows"], ["interests"], axis=0),
        helper.make_node("Gather", ["actions", "newest_two"], ["codes"], axis=1),
        helper.make_node("Mod", ["codes", "two"], ["positive"]),  # the lowest bit is Action.POSITIVE
        helper.make_node("Cast", ["positive"], ["won"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["won", "axis"], ["total"], keepdims=1),
        helper.make_node("Max", ["total", "one"], ["divisor"]),
        helper.make_node("Div", ["won", "divisor"], ["activation"]),
    ]
    shape = ["B", HISTORY_LENGTH]
    graph = helper.make_graph(
        nodes,
        "two_newest",
        [
            helper.make_tensor_value_info("video_rows", TensorProto.INT64, shape),
            helper.make_tensor_value_info("actions", TensorProto.INT64, shape),
            helper.make_tensor_value_info("age_days", TensorProto.FLOAT, shape),
        ],
        [
            helper.make_tensor_value_info("interests", TensorProto.FLOAT, ["B", 2, vectors.shape[1]]),
            helper.make_tensor_value_info("activation", TensorProto.FLOAT, ["B", 2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return _checked(graph)


def _checked(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model
