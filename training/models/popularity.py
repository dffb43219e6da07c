"""Popularity: videos by their number of positives, for all users and per segment of users.

The baseline that everything has to beat, and the list that serving falls back on.
"""

import math
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64
from pydantic import PositiveFloat, PositiveInt, model_validator

from features.bundle import RANKING, RANKING_KIND, RANKING_SCHEMA
from features.schema import EVENT_TIME, USER_ID, VIDEO_ID
from features.vocabulary import Vocabulary
from training.config import ModelConfig
from training.dataset import WatchLog
from training.models import Run, Trained

SECONDS_PER_DAY: Final = 86_400


class PopularityConfig(ModelConfig):
    """How far back positives count."""

    half_life_days: PositiveFloat | None = None
    """A positive counts half after so many days; unset: all count alike."""
    window_days: PositiveFloat | None = 7.0
    """Positives older than this do not count; unset: all do."""
    by_segment: bool = True
    """A list of its own for every segment of users."""
    videos_per_segment: PositiveInt = 1000
    """Length of the list of a segment; the list of all users holds every watched video."""

    @model_validator(mode="after")
    def _one_way_to_forget(self) -> "PopularityConfig":
        if self.half_life_days is not None and self.window_days is not None:
            raise ValueError(
                "set half_life_days or window_days to none: a window and a half-life exclude each other"
            )
        return self


Config = PopularityConfig


def train(config: PopularityConfig, run: Run) -> Trained:
    """Count the positives before ``run.until``."""
    log = WatchLog(run.lake, run.until, config.rule)
    positives = log.positives()
    vocabulary = Vocabulary(log.watched_videos(run.until, config.min_watches))
    rows = vocabulary.rows_of(positives[VIDEO_ID].to_numpy())
    moments = positives[EVENT_TIME].cast(pa.int64()).to_numpy() / 1e6  # seconds since the epoch
    weights = recency_weights((run.until.timestamp() - moments) / SECONDS_PER_DAY, config)
    segment_of = log.segments()
    segments = np.array([segment_of.get(user, "") for user in positives[USER_ID].to_pylist()])

    lists = [_ranking(None, _scores(rows, weights, vocabulary), vocabulary, len(vocabulary))]
    for segment in sorted(set(segments.tolist()) - {""}) if config.by_segment else ():
        own = segments == segment
        scores = _scores(rows[own], weights[own], vocabulary)
        lists.append(_ranking(segment, scores, vocabulary, config.videos_per_segment))
    ranking = pa.concat_tables(lists)
    return Trained(
        kind=RANKING_KIND,
        source=log.source(),
        num_videos=len(vocabulary),
        write_files=lambda folder: pq.write_table(ranking, folder / RANKING),
    )


def recency_weights(age_days: Float[np.ndarray, " W"], config: PopularityConfig) -> Float[np.ndarray, " W"]:
    """How much a positive of each age counts."""
    if config.window_days is not None:
        return (age_days <= config.window_days).astype(float)
    if config.half_life_days is not None:
        return np.exp(-math.log(2) * age_days / config.half_life_days)
    return np.ones(len(age_days))


def _scores(
    rows: Int64[np.ndarray, " W"], weights: Float[np.ndarray, " W"], vocabulary: Vocabulary
) -> Float[np.ndarray, " V"]:
    return np.bincount(rows, weights, vocabulary.num_rows)[1:]


def _ranking(
    segment: str | None, scores: Float[np.ndarray, " V"], vocabulary: Vocabulary, length: int
) -> pa.Table:
    """The best videos first; ties by all-time positives, the order of the vocabulary."""
    order = np.argsort(-scores, kind="stable")[:length]
    columns = [[segment] * len(order), np.arange(len(order)), vocabulary.video_ids[order], scores[order]]
    return pa.table(columns, schema=RANKING_SCHEMA)
