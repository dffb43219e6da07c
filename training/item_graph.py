"""Item-to-item models: from who watched what to a list of weighted neighbours per video.

A model of this family is a matrix W of weights between videos. The score of video j for a user is the sum of
``W[h, j]`` over the videos h of the history, each weighted by how it was watched. Of every row only the
largest weights are kept, by absolute value, so that a bundle is small and serving adds up few numbers.

Shape letters: U users, V videos of the vocabulary, W watches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from jaxtyping import Float, Float32, Int64
from pydantic import PositiveFloat, PositiveInt

from features.bundle import NEIGHBOURS, NEIGHBOURS_KIND, NEIGHBOURS_SCHEMA, VOCABULARY
from features.history import MICROSECONDS_PER_DAY
from features.neighbours import largest_weights, watch_weights
from features.top import best_of
from features.trend import write_trend
from features.vocabulary import Vocabulary
from training.config import ModelConfig, Share, TrendConfig
from training.dataset import WHOLE_PAST, Sequences, WatchLog
from training.models import Trained
from training.trend import trend_of

ROWS_PER_BLOCK: Final = 512


class FeedbackConfig(ModelConfig):
    """How much watches weigh."""

    plain_weight: Share = 0.6
    """Weight in a history of a watch that is neither a positive nor a dislike; a positive weighs 1."""
    plain_target_weight: Share = 0.3
    """Weight of such a watch among what is predicted."""
    half_life_days: PositiveFloat | None = None
    """A watch says half as much after so many days; unset: all say the same. Histories are not affected."""
    trend: TrendConfig = TrendConfig()
    """How much what is watched more than usual now gains."""


class NeighboursConfig(FeedbackConfig):
    """What every item-to-item model is told."""

    num_neighbours: PositiveInt = 200
    """Weights kept per video."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """Who watched what, weighted: a row per user, a column per video in the order of the vocabulary."""

    vocabulary: Vocabulary
    history: scipy.sparse.csr_array
    """(U, V): the weight of each watch as a reason."""
    targets: scipy.sparse.csr_array
    """(U, V): the weight of each watch as something to predict."""
    trend: Float[np.ndarray, " V"]
    """Factor on the score of each video."""
    user_ids: Int64[np.ndarray, " U"]

    @classmethod
    def read(cls, log: WatchLog, config: FeedbackConfig, until: datetime) -> "Feedback":
        """All watches before ``until``; a video that a user watched twice keeps its larger weight."""
        vocabulary = Vocabulary(log.watched_videos(until, config.min_watches))
        sequences = log.sequences(until, WHOLE_PAST)
        recency = recency_weights(sequences, until, config.half_life_days)
        history, targets = (
            matrix_of(sequences, vocabulary, watch_weights(sequences.actions, plain) * recency)
            for plain in (config.plain_weight, config.plain_target_weight)
        )
        trend = trend_of(sequences, vocabulary, until, config.trend)
        return cls(vocabulary, history, targets, trend, sequences.user_ids)


def recency_weights(
    sequences: Sequences, until: datetime, half_life_days: float | None
) -> Float32[np.ndarray, " W"]:
    """1 for a watch at ``until``, 1/2 for one ``half_life_days`` before; 1 for all without a half-life."""
    if half_life_days is None:
        return np.ones(len(sequences.times_us), dtype=np.float32)
    age_days = (until.timestamp() * 1e6 - sequences.times_us) / MICROSECONDS_PER_DAY
    return (0.5 ** (age_days / half_life_days)).astype(np.float32)


def matrix_of(
    sequences: Sequences, vocabulary: Vocabulary, weights: Float32[np.ndarray, " W"]
) -> scipy.sparse.csr_array:
    """(U, V): the largest weight of each user and video; users in the order of ``sequences``."""
    users = np.repeat(np.arange(len(sequences)), sequences.lengths())
    videos = vocabulary.rows_of(sequences.video_ids) - 1
    return largest_weights(users, videos, weights, (len(sequences), len(vocabulary)))


def neighbours_table(
    block_of: Callable[[slice], Float[np.ndarray, "B V"]],
    vocabulary: Vocabulary,
    trend: Float[np.ndarray, " V"],
    num_neighbours: int,
    *,
    rows_per_block: int = ROWS_PER_BLOCK,
) -> pa.Table:
    """The content of ``neighbours.parquet``: per video its largest weights, by absolute value.

    Args:
        block_of: dense rows of W, without the trend; asked for block by block.
    """
    parts = []
    ids, trend = vocabulary.video_ids, trend.astype(np.float32)  # float64 would double W
    for start in range(0, len(vocabulary), rows_per_block):
        rows = slice(start, min(start + rows_per_block, len(vocabulary)))
        weights = block_of(rows) * trend
        weights[np.arange(len(weights)), np.arange(rows.start, rows.stop)] = 0  # no video suggests itself
        best, sizes = best_of(np.abs(weights), num_neighbours)
        kept = sizes > 0
        values = np.take_along_axis(weights, np.maximum(best, 0), axis=1)[kept].astype(np.float32)
        sources = np.repeat(ids[rows], kept.sum(axis=1))
        parts.append(pa.table([sources, ids[best[kept]], values], schema=NEIGHBOURS_SCHEMA))
    return pa.concat_tables(parts)


def trained_neighbours(log: WatchLog, feedback: Feedback, neighbours: pa.Table) -> Trained:
    """What an item-to-item model hands over."""
    vocabulary = feedback.vocabulary

    def write(folder: Path) -> None:
        if (feedback.trend != 1).any():
            write_trend(folder, vocabulary.video_ids, feedback.trend)
        pq.write_table(neighbours, folder / NEIGHBOURS)
        pq.write_table(vocabulary.to_table(), folder / VOCABULARY)

    return Trained(kind=NEIGHBOURS_KIND, source=log.source(), num_videos=len(vocabulary), write_files=write)
