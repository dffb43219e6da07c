"""The bundle: one immutable folder per ``<model>/<version>`` that training hands to everyone else.

``manifest.json`` names every other file with its SHA-256, so a half-written or altered bundle is refused.
Files that hold rows of users have their sums in ``user_files.json`` instead: when a user is erased, these
files lose rows, and nothing else of the bundle changes (``features/forget``). A bundle is built in a hidden
folder beside its place and renamed at the end. Nothing is ever unpickled.

==================  ==========================================================================
kind                files
==================  ==========================================================================
``interests``       ``extractor.onnx, item_encoder.onnx, item_vectors.parquet, vocabulary.parquet,
                    activation.parquet``; ``item_fields.parquet`` if the item encoder reads fields
``neighbours``      ``neighbours.parquet``: ``video_id, neighbour_id, weight``, the largest first;
                    ``vocabulary.parquet``
``stored_interests`` ``user_interests.parquet``, ``item_vectors.parquet, vocabulary.parquet``
``ranking``         ``ranking.parquet``: ``segment, rank, video_id, score``
``uploads``         ``uploads.parquet``: ``uploader_id, video_id, weight``; ``vocabulary.parquet``
==================  ==========================================================================

``extractor.onnx`` maps ``video_rows, actions`` (B, L) int64 and ``age_days`` (B, L) float32 to
``interests`` (B, K, D) and ``activation`` (B, K): the share of the history's positives whose best
interest is k. Where the bundle holds ``profile.parquet`` (``features/profile.py``), a fourth input
``profile`` (B, P) int64 is the row of each user's value of each attribute, 0 where it is unknown.
``item_encoder.onnx`` maps ``video_rows`` (N,) int64 (0: a video without a row), and for every
field that it reads an input of the field's name (N, G) int64, to ``vectors`` (N, D), equal to the stored ones
(without the coordinate of the trend) within 1e-5, and zeros for a video of which nothing is known.
``item_fields.parquet`` holds ``field, value, row``; who has curated videos calls
``features/item_encoder.py``. ``activation.parquet`` holds ``user_id, interest, activation``: how often
training activated each interest, see ``training/activation.py``. A bundle trained with a trend holds
``trend.parquet``, see ``features/trend.py``. ``item_vectors.parquet`` holds ``video_id, vector`` (D
float32), ``uploader_id, tag_ids, category, duration_seconds, published_at, language``; whether a video is
online is live state and not in it.

Shape letters: B users, L watches, K interests, D dimensions, V videos, N any videos, G most values of one
video in a field.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64
from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import BundleError
from features.item_fields import ItemFields
from features.positives import PositiveRule
from features.schema import (
    CATEGORY,
    DURATION_SECONDS,
    INTEREST,
    LANGUAGE,
    PUBLISHED_AT,
    RANK,
    SCHEMAS,
    SCORE,
    SEGMENT,
    TAG_IDS,
    UPLOADER_ID,
    USER_ID,
    VECTOR,
    VIDEO_ID,
    VIDEOS,
)
from features.stage import write_atomically
from features.vocabulary import Vocabulary

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
USER_SUMS: Final = "user_files.json"
"""SHA-256 of the files with rows of users; two per file while an erasure rewrites it."""
EXTRACTOR: Final = "extractor.onnx"
ITEM_ENCODER: Final = "item_encoder.onnx"
ITEM_FIELDS: Final = "item_fields.parquet"
ITEM_VECTORS: Final = "item_vectors.parquet"
VOCABULARY: Final = "vocabulary.parquet"
TREND: Final = "trend.parquet"
ACTIVATION: Final = "activation.parquet"
NEIGHBOURS: Final = "neighbours.parquet"
RANKING: Final = "ranking.parquet"
UPLOADS: Final = "uploads.parquet"
USER_INTERESTS: Final = "user_interests.parquet"

INTERESTS_KIND: Final = "interests"
NEIGHBOURS_KIND: Final = "neighbours"
RANKING_KIND: Final = "ranking"
STORED_INTERESTS_KIND: Final = "stored_interests"
UPLOADS_KIND: Final = "uploads"
FILES_OF: Final[dict[str, frozenset[str]]] = {
    INTERESTS_KIND: frozenset({EXTRACTOR, ITEM_ENCODER, ITEM_VECTORS, VOCABULARY, ACTIVATION}),
    NEIGHBOURS_KIND: frozenset({NEIGHBOURS, VOCABULARY}),
    RANKING_KIND: frozenset({RANKING}),
    STORED_INTERESTS_KIND: frozenset({USER_INTERESTS, ITEM_VECTORS, VOCABULARY}),
    UPLOADS_KIND: frozenset({UPLOADS, VOCABULARY}),
}
USER_FILES: Final = frozenset({ACTIVATION, USER_INTERESTS})
"""Files with rows of users; each has a column ``user_id``."""
ERASURE: Final = "erasure"
ACTIVATIONS: Final = "activation"
"""Faded number of targets that an interest won in training."""
ATTRIBUTES: Final = (UPLOADER_ID, TAG_IDS, CATEGORY, DURATION_SECONDS, PUBLISHED_AT, LANGUAGE)
"""Columns of a video that travel with its vector."""
RANKING_SCHEMA: Final = pa.schema(
    [
        pa.field(SEGMENT, pa.string()),  # null: all users
        pa.field(RANK, pa.int64(), nullable=False),
        pa.field(VIDEO_ID, pa.int64(), nullable=False),
        pa.field(SCORE, pa.float64(), nullable=False),
    ]
)
NEIGHBOUR_ID: Final = "neighbour_id"
WEIGHT: Final = "weight"
NEIGHBOURS_SCHEMA: Final = pa.schema(
    [
        pa.field(VIDEO_ID, pa.int64(), nullable=False),
        pa.field(NEIGHBOUR_ID, pa.int64(), nullable=False),
        pa.field(WEIGHT, pa.float32(), nullable=False),
    ]
)
UPLOADS_SCHEMA: Final = pa.schema(
    [
        pa.field(UPLOADER_ID, pa.int64(), nullable=False),
        pa.field(VIDEO_ID, pa.int64(), nullable=False),
        pa.field(WEIGHT, pa.float32(), nullable=False),
    ]
)
ACTIVATION_SCHEMA: Final = pa.schema(
    [
        pa.field(USER_ID, pa.int64(), nullable=False),
        pa.field(INTEREST, pa.int32(), nullable=False),
        pa.field(ACTIVATIONS, pa.float32(), nullable=False),
    ]
)


class DataSource(BaseModel):
    """What a bundle was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: datetime
    snapshots: dict[str, int]
    """Version of each curated table."""
    first_day: str
    last_day: str
    num_watches: int
    num_positives: int
    num_users: int


class Manifest(BaseModel):
    """Everything that is needed to trust, serve and repeat a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT
    kind: Literal["interests", "neighbours", "ranking", "stored_interests", "uploads"]
    model: str
    version: str
    created_at: datetime
    code_commit: str
    config: dict[str, Any]
    rule: PositiveRule
    data: DataSource
    num_videos: int
    num_interests: int = 0
    """K; 0 for kinds without interests."""
    dim: int = 0
    """D; 0 for kinds without vectors."""
    history_length: int = 0
    """L that the extractor was trained with; 0 for kinds that read no history."""
    trend_until: datetime | None = None
    """Moment of the trend, where it was refreshed after training."""
    refreshed_from: str | None = None
    """``<model>/<version>`` that this bundle differs from only in its trend."""
    metrics: dict[str, float] = {}
    """On the validation days inside the training data; never on a reported window."""
    files: dict[str, str] = {}
    """SHA-256 per file name; filled in by ``write_bundle``. Files with rows of users are not in it."""
    repeatable: bool = True
    """Whether the table versions in ``data`` can still be read."""
    reason: str | None = None
    """Why it is not repeatable: ``erasure``."""
    since: date | None = None
    """UTC day since which it is not repeatable."""

    @property
    def known_until(self) -> datetime:
        """Moment before which everything may be known to the bundle: it is judged on later days."""
        return max(self.data.until, self.trend_until or self.data.until)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose files have their recorded sums."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """``<model>/<version>``."""
        return f"{self.manifest.model}/{self.manifest.version}"

    @cached_property
    def items(self) -> pa.Table:
        """``item_vectors.parquet`` in row order: row i of the table has row i + 1 in the vocabulary."""
        return pq.read_table(self.path / ITEM_VECTORS)

    @cached_property
    def vectors(self) -> Float32[np.ndarray, "V D"]:
        """Item vectors; the score of a video is the inner product with an interest."""
        return vectors_of(self.items)

    @cached_property
    def video_ids(self) -> Int64[np.ndarray, " V"]:
        """Ids in the order of ``vectors``."""
        return self.items[VIDEO_ID].to_numpy()

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Ids to rows of the extractor's tables."""
        return Vocabulary.from_table(pq.read_table(self.path / VOCABULARY))

    @cached_property
    def item_fields(self) -> ItemFields:
        """Which value of a video has which row in the item encoder; without any where it reads none."""
        if ITEM_FIELDS not in self.manifest.files:
            return ItemFields({})
        return ItemFields.from_table(pq.read_table(self.path / ITEM_FIELDS))

    @cached_property
    def activation(self) -> pa.Table:
        """``activation.parquet``, sorted by user and interest; users without a record have no row."""
        return pq.read_table(self.path / ACTIVATION)

    @cached_property
    def neighbours(self) -> pa.Table:
        """``neighbours.parquet``."""
        return pq.read_table(self.path / NEIGHBOURS)

    @cached_property
    def uploads(self) -> pa.Table:
        """``uploads.parquet``: what an uploader's followers get, one row per video."""
        return pq.read_table(self.path / UPLOADS)

    @cached_property
    def user_interests(self) -> pa.Table:
        """``user_interests.parquet``: see ``features/user_vectors.py``, ``pack_user_vectors``."""
        return pq.read_table(self.path / USER_INTERESTS)

    @cached_property
    def ranking(self) -> pa.Table:
        """``ranking.parquet``, sorted by segment and rank."""
        return pq.read_table(self.path / RANKING)


def write_bundle(root: Path, manifest: Manifest, write_files: Callable[[Path], None]) -> Path:
    """Build ``root/<model>/<version>`` and return it; nothing is visible before it is complete.

    Args:
        write_files: writes the files of the manifest's kind into the folder that it is given.

    Raises:
        BundleError: the version exists, or the files do not fit the manifest.
    """
    place = root / manifest.model / manifest.version
    if place.exists():
        raise BundleError(f"bundle {place} exists already; bundles never change, train a new version")
    building = place.parent / f".building-{manifest.version}-{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        write_files(building)
        sums = {path.name: sha256(path) for path in sorted(building.iterdir())}
        of_users = {name: [sums.pop(name)] for name in sorted(USER_FILES & sums.keys())}
        if of_users:
            write_atomically(building / USER_SUMS, json.dumps(of_users, indent=2))
        complete = manifest.model_copy(update={"files": sums})
        (building / MANIFEST).write_text(complete.model_dump_json(indent=2) + "\n")
        open_bundle(building)
        building.rename(place)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return place


def open_bundle(path: Path) -> Bundle:
    """Open a bundle after checking its manifest, sums and dimensions.

    Raises:
        BundleError: it cannot be trusted; the text says why.
    """
    manifest = read_manifest(path)
    sums = {name: [expected] for name, expected in manifest.files.items()} | user_sums(path)
    missing = sorted(FILES_OF[manifest.kind] - sums.keys())
    if missing:
        raise BundleError(f"bundle {path} of kind {manifest.kind!r} lists no {missing}; train it again")
    for name, expected in sums.items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"bundle {path} lacks {name}; it is half written or damaged, train it again")
        if sha256(file) not in expected:
            raise BundleError(f"{file} differs from its recorded SHA-256; restore it or train again")
    bundle = Bundle(path, manifest)
    if manifest.kind in (INTERESTS_KIND, STORED_INTERESTS_KIND):
        _check_dimensions(bundle)
    return bundle


def vectors_of(items: pa.Table) -> Float32[np.ndarray, "N D"]:
    """The ``vector`` column of a table as a matrix."""
    column = items[VECTOR].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), column.type.list_size)


def item_table(
    video_ids: Int64[np.ndarray, " V"], vectors: Float32[np.ndarray, "V D"], videos: pa.Table
) -> pa.Table:
    """The content of ``item_vectors.parquet``: attributes are null where ``videos`` lacks the id.

    Args:
        videos: curated videos, at most one row per id.
    """
    place = {video_id: i for i, video_id in enumerate(videos[VIDEO_ID].to_pylist())}
    found = pa.array([place.get(video_id) for video_id in video_ids.tolist()], pa.int64())
    columns = {VIDEO_ID: pa.array(video_ids)}
    columns[VECTOR] = pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel()), vectors.shape[1]
    )
    for name in ATTRIBUTES:
        columns[name] = videos[name].combine_chunks().cast(SCHEMAS[VIDEOS].field(name).type).take(found)
    return pa.table(columns)


def new_version(now: datetime | None = None) -> str:
    """A version that sorts by time: ``20260131T120000-123456``."""
    return (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S-%f")


def read_manifest(path: Path) -> Manifest:
    """The manifest alone; the files are not checked.

    Raises:
        BundleError: there is none, or it is of another format.
    """
    try:
        return Manifest.model_validate_json((path / MANIFEST).read_text())
    except FileNotFoundError as error:
        raise BundleError(f"{path} is no bundle: it has no {MANIFEST}") from error
    except ValidationError as error:
        raise BundleError(f"{path / MANIFEST} is not a manifest of format {FORMAT}: {error}") from error


def _check_dimensions(bundle: Bundle) -> None:
    manifest = bundle.manifest
    shape = (len(bundle.vocabulary), manifest.dim)
    if bundle.vectors.shape != shape or manifest.num_videos != shape[0] or manifest.num_interests < 1:
        raise BundleError(
            f"bundle {bundle.path}: {bundle.vectors.shape} item vectors, "
            f"but the manifest and vocabulary say {shape}"
        )
    if not np.array_equal(bundle.video_ids, bundle.vocabulary.video_ids):
        raise BundleError(f"bundle {bundle.path}: item vectors and vocabulary list different videos")


def user_sums(path: Path) -> dict[str, list[str]]:
    """Accepted SHA-256 of each file with rows of users; empty where the manifest lists these files too."""
    file = path / USER_SUMS
    try:
        return {name: list(sums) for name, sums in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise BundleError(f"{file} does not name sums of files: {error}; train again") from error


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
