"""What is watched more than usual now gains, what is watched less loses, what is rare stays."""

import numpy as np
import pytest

from features.history import MICROSECONDS_PER_DAY
from features.vocabulary import Vocabulary
from tests.training.logs import at
from training.config import TrendConfig
from training.dataset import Sequences
from training.trend import trend_of

VOCABULARY = Vocabulary(np.array([7, 8]))


def watched(*rows: tuple[int, float]) -> Sequences:
    """Plays of one user: video and age in days before day 10."""
    now = int(at(10).timestamp() * 1e6)
    times = np.array([now - int(age * MICROSECONDS_PER_DAY) for _, age in rows])
    ids = np.array([video_id for video_id, _ in rows])
    return Sequences(np.array([1]), np.array([0, len(rows)]), ids, np.zeros(len(rows), dtype=np.int64), times)


def test_the_factor_is_the_recent_share_against_the_usual_one() -> None:
    log = watched((7, 0.0), (7, 0.0), (8, 1.0), (8, 1.0))
    config = TrendConfig(power=0.5, window_days=1.0, smoothing=1.0)
    recent = np.array([2, 2 / np.e])  # plays of a day ago count e times less
    scaled = recent * 4 / recent.sum()
    assert trend_of(log, VOCABULARY, at(10), config) == pytest.approx(((scaled + 1) / (2 + 1)) ** 0.5)


def test_without_a_power_nothing_changes() -> None:
    assert trend_of(watched((7, 0.0)), VOCABULARY, at(10), TrendConfig()).tolist() == [1, 1]


def test_a_rare_video_stays_near_one() -> None:
    log = watched(*[(7, 5.0)] * 1000, (8, 0.0))
    factors = trend_of(log, VOCABULARY, at(10), TrendConfig(power=1, window_days=1.0, smoothing=1e9))
    assert factors == pytest.approx([1, 1], abs=1e-5)
