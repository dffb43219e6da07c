"""Followed: recent and popular videos of uploaders that a user follows.

Who pressed follow on a video of an uploader, however long ago (``features/follows.py``), gets the recent
videos of this uploader; video j weighs

    w[j] = (1 + plays of j) / (1 + plays of the uploader's most played) * 0.5 ** (age of j / half-life).

Shape letters: C recent videos.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from jaxtyping import Float, Int64
from pydantic import PositiveFloat, PositiveInt

from features.bundle import UPLOADS, UPLOADS_KIND, UPLOADS_SCHEMA, VOCABULARY
from features.schema import UPLOADER_ID
from training.config import ModelConfig
from training.kin import Curated
from training.models import Run, Trained

log = structlog.get_logger(__name__)


class FollowedConfig(ModelConfig):
    """Which videos of an uploader are shown to who follows."""

    recent_days: PositiveFloat = 30.0
    """Oldest age, since the video was published, else since a snapshot first listed it."""
    half_life_days: PositiveFloat = 7.0
    """Age at which a video is worth half."""
    num_videos: PositiveInt = 20
    """Videos of one uploader."""


Config = FollowedConfig


def train(config: FollowedConfig, run: Run) -> Trained:
    """Recent videos before ``run.until``, by uploader."""
    curated = Curated.read(config, run)
    recent = np.flatnonzero((curated.age_days <= config.recent_days) & curated.is_online)
    log.info("recent videos", videos=len(recent), of=len(curated.ids))
    ids = curated.videos[UPLOADER_ID].to_numpy()
    _, uploaders = np.unique(ids, return_inverse=True)
    worth = worth_of(curated, recent, uploaders[recent], config)
    order = np.lexsort((-worth, uploaders[recent]))
    recent, worth = recent[order], worth[order]
    place = np.arange(len(recent)) - np.searchsorted(uploaders[recent], uploaders[recent])
    recent, worth = recent[place < config.num_videos], worth[place < config.num_videos]
    columns = [ids[recent], curated.ids[recent], worth.astype(np.float32)]
    uploads = pa.table(columns, schema=UPLOADS_SCHEMA)
    vocabulary = curated.vocabulary_of(recent[np.argsort(-worth, kind="stable")])

    def write(folder: Path) -> None:
        pq.write_table(uploads, folder / UPLOADS)
        pq.write_table(vocabulary.to_table(), folder / VOCABULARY)

    return Trained(UPLOADS_KIND, curated.log.source(), num_videos=len(vocabulary), write_files=write)


def worth_of(
    curated: Curated,
    recent: Int64[np.ndarray, " C"],
    uploaders: Int64[np.ndarray, " C"],
    config: FollowedConfig,
) -> Float[np.ndarray, " C"]:
    """Of each recent video among those of its uploader: 0 to 1."""
    plays = 1 + curated.plays[recent]
    most = np.ones(int(uploaders.max(initial=-1)) + 1)
    np.maximum.at(most, uploaders, plays)
    ages = np.maximum(curated.age_days[recent], 0)
    return plays / most[uploaders] * 0.5 ** (ages / config.half_life_days)
