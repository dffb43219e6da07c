"""Answers are counted in the background, where the release asks for it, and never hold up an answer."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from features.errors import StoreUnavailableError
from features.impressions import add_shown, capped_videos, nothing_shown
from features.landing_log import LandingLog
from features.merge_config import NO_CAP, ImpressionCap
from features.schema import EXPOSURES
from features.settings import Settings
from serving.exposures import ExposureLog
from serving.impressions import MAX_WAITING, ImpressionSink
from serving.metrics import Metrics
from tests.serving.test_exposures import RESULT


class Counts:
    """An ``ImpressionStore`` in memory."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.shown: dict[int, np.ndarray] = {}
        self.is_away = is_away
        self.called = threading.Event()

    def push_shown(self, shown: Mapping[int, Sequence[np.ndarray]]) -> None:
        self.called.set()
        if self.is_away:
            raise StoreUnavailableError("the store is down; start it")
        for user, answers in shown.items():
            self.shown[user] = add_shown(self.shown.get(user, nothing_shown()), answers)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def recorded(settings: Settings, counts: Counts, *caps: ImpressionCap) -> bytes:
    """Metrics after ``RESULT`` (30, 40, 50 for user 7) was answered once under each cap."""
    metrics = Metrics()
    sink = ImpressionSink(lambda: counts, metrics)
    log = ExposureLog(LandingLog(settings, EXPOSURES), metrics, sink)
    log.start()
    for cap in caps:
        log.note(RESULT, cap)
    log.stop(20.0)
    return metrics.render()


def test_the_first_places_are_counted_under_a_cap(settings: Settings) -> None:
    counts, cap = Counts(), ImpressionCap(max_shown=2, shown_ranks=1)
    rendered = recorded(settings, counts, cap, cap, ImpressionCap(max_shown=2))
    assert [(video, times) for video, _, times in counts.shown[7].tolist()] == [(30, 3), (40, 1), (50, 1)]
    assert capped_videos(counts.shown[7], cap, None).tolist() == [30]
    assert b'facet_exposures_total{outcome="counted"} 5.0' in rendered
    assert b'facet_exposures_total{outcome="stored"} 9.0' in rendered


def test_without_a_cap_the_store_is_left_alone(settings: Settings) -> None:
    counts = Counts()
    recorded(settings, counts, NO_CAP)
    assert not counts.called.is_set()


def test_what_a_store_that_is_away_does_not_take_is_recorded_but_not_counted(settings: Settings) -> None:
    rendered = recorded(settings, Counts(is_away=True), ImpressionCap(max_shown=1))
    assert b'facet_exposures_total{outcome="not_counted"} 3.0' in rendered
    assert b'facet_exposures_total{outcome="stored"} 3.0' in rendered


def test_more_than_fits_the_queue_is_not_counted(settings: Settings) -> None:
    metrics = Metrics()
    log = ExposureLog(LandingLog(settings, EXPOSURES), metrics, ImpressionSink(Counts, metrics))
    for _ in range(MAX_WAITING + 1):  # not started: nothing leaves the queues
        log.note(RESULT, ImpressionCap(max_shown=1))
    assert b'facet_exposures_total{outcome="not_counted"} 3.0' in metrics.render()
