"""Gauges of how things are now: the age of what is served and of what it is made from, and coverage."""

import math
import time
from datetime import UTC, datetime, timedelta

from features.days import end_of
from features.deadlines import missed_deadlines
from features.ingest import newest_committed_day
from features.materialize import newest_day
from features.settings import Settings
from serving.errors import NoReleaseError
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.recall import Recaller

LATE_HOURS = 24


class StateMetrics:
    """Sets the gauges of ``metrics`` before each reading of them.

    It lists folders and reads what is in memory, so it takes a millisecond or two.
    """

    def __init__(self, settings: Settings, live: LiveRecaller, metrics: Metrics) -> None:
        self._settings, self._live, self._metrics = settings, live, metrics
        metrics.before_reading(self.update)

    def update(self) -> None:
        """Set every gauge as it is now."""
        self._set_age("features", _end_of(newest_day(settings=self._settings)))
        self._set_age("logs", _end_of(newest_committed_day(settings=self._settings)))
        since = datetime.now(UTC) - timedelta(hours=LATE_HOURS)
        late = [missed for missed in missed_deadlines(self._settings) if missed.noticed_at >= since]
        self._metrics.set_gauge("facet_missed_deadlines", float(len(late)))
        try:
            self._set_release(self._live.recaller)
        except NoReleaseError:
            self._metrics.set_gauge("facet_release_age_seconds", math.nan)

    def _set_release(self, recaller: Recaller) -> None:
        published = recaller.release.created_at.replace(tzinfo=UTC)
        self._metrics.set_gauge("facet_release_age_seconds", _age(published))
        manifest = recaller.catalogue.manifest
        self._set_age("model", manifest.known_until)
        self._set_age("index", manifest.created_at)
        self._metrics.set_gauge("facet_catalogue_videos", float(len(recaller.catalogue)))
        self._metrics.set_gauge("facet_catalogue_coverage_ratio", recaller.catalogue.shown.coverage)

    def _set_age(self, of: str, moment: datetime | None) -> None:
        age = math.inf if moment is None else _age(moment)
        self._metrics.set_gauge("facet_freshness_seconds", age, of)


def _end_of(day: str | None) -> datetime | None:
    return None if day is None else end_of(day)


def _age(moment: datetime) -> float:
    return time.time() - moment.timestamp()
