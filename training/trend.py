"""Trend: how much more a video is watched now than usual, as a factor on its score.

    r = (c_recent N / N_recent + s) / (c + s)

c counts all plays of the video, c_recent those in an exponential window, N and N_recent the sums over the
videos; s plays of smoothing keep rare videos near 1. A score is multiplied by r to a power. Offline targets
come from what the app showed, so a part of what the trend gains is that it predicts exposure: figures are
always reported with and without it.

Shape letters: V videos of the vocabulary.
"""

from datetime import datetime

import numpy as np
from jaxtyping import Float

from features.history import MICROSECONDS_PER_DAY
from features.vocabulary import Vocabulary
from training.config import TrendConfig
from training.dataset import Sequences


def trend_of(
    sequences: Sequences, vocabulary: Vocabulary, until: datetime, config: TrendConfig
) -> Float[np.ndarray, " V"]:
    """``r ** power`` per video, 1 where ``power`` is 0."""
    if config.power == 0:
        return np.ones(len(vocabulary))
    rows = vocabulary.rows_of(sequences.video_ids)
    age_days = (until.timestamp() * 1e6 - sequences.times_us) / MICROSECONDS_PER_DAY
    counts = np.bincount(rows, minlength=vocabulary.num_rows)[1:]
    recent = np.bincount(rows, np.exp(-age_days / config.window_days), minlength=vocabulary.num_rows)[1:]
    scaled = recent * counts.sum() / max(recent.sum(), np.finfo(float).tiny)
    factors = (scaled + config.smoothing) / (counts + config.smoothing)
    return np.asarray(factors**config.power)
