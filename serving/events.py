"""Watches that clients report: stored before they are confirmed, then in the next look-up of their user.

Durable first (``features/landing_log.py``), then pushed to the feature store by a thread of its own. A store
that is slow or away delays only the push: the daily ingest brings every event anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import pyarrow as pa
import structlog

from features.days import day_of, end_of
from features.errors import FacetError, StoreUnavailableError
from features.landing_log import LandingLog
from features.limits import EARLIEST_MOMENT
from features.positives import PositiveRule
from features.recent import RecentWatch, recent_watches
from features.schema import DURATION_SECONDS, SCHEMAS, VIDEO_ID, WATCHES
from serving.background import Background
from serving.event_bodies import WatchEvent
from serving.metrics import Metrics

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 1000
"""Requests whose events wait to be pushed; further ones are only stored."""
MAX_TOGETHER: Final = 100
"""Requests whose events are pushed in one call."""
RETRY_SECONDS: Final = 1.0


@runtime_checkable
class RecentStore(Protocol):
    """Where pushed watches go: ``features.store.FeatureStore``."""

    def push(self, pushed: Mapping[int, Sequence[RecentWatch]]) -> None:
        """Add watches by user; adding one again changes nothing. Raises ``StoreUnavailableError``."""
        ...


class EventSink:
    """Stores events and pushes them.

    Args:
        watches: where they are stored.
        open_store: called once, by the thread that pushes: opening takes seconds.
        durations: seconds of each video, ``None`` where unknown; for the rule of positives.
    """

    def __init__(
        self,
        watches: LandingLog,
        open_store: Callable[[], RecentStore],
        durations: Callable[[Sequence[int]], Sequence[float | None]],
        rule: PositiveRule,
        metrics: Metrics,
    ) -> None:
        self._watches = watches
        self._open_store = open_store
        self._durations = durations
        self._rule = rule
        self._metrics = metrics
        self._pushing = Background[list[WatchEvent]](
            "push events", self._push, max_waiting=MAX_WAITING, max_together=MAX_TOGETHER
        )

    def start(self) -> None:
        """Begin to push."""
        self._pushing.start()

    def stop(self, timeout_seconds: float) -> None:
        """Push what waits, for so long at most, and land what is stored."""
        self._pushing.stop(timeout_seconds)
        self.hand_over(everything=True)

    def store(self, events: list[WatchEvent]) -> None:
        """Return when the events are on disk; they are pushed soon after.

        Those with a time that ingest refuses are only stored: pushed, one from the year 2100 would be the
        newest watch of its user for good, with all others a lifetime old.

        Raises:
            DiskFullError, RetryLaterError: nothing counts as stored; send them again.
        """
        try:
            self._watches.append([event.model_dump_json(exclude_none=True) for event in events])
        except FacetError:
            self._metrics.count_events("refused", len(events))
            raise
        self._metrics.count_events("stored", len(events))
        latest = end_of(day_of(datetime.now(UTC)))
        usable = [event for event in events if EARLIEST_MOMENT <= event.event_time < latest]
        if len(usable) < len(events):
            self._metrics.count_events("wrong_clock", len(events) - len(usable))
        if usable and not self._pushing.put(usable):
            self._give_up(usable, "too many wait already")

    def hand_over(self, *, everything: bool = False) -> None:
        """Land files that are due; to be called every second or so."""
        self._watches.hand_over(everything=everything)

    @cached_property
    def _store(self) -> RecentStore:
        return self._open_store()

    def _push(self, requests: list[list[WatchEvent]]) -> None:
        events = [event for request in requests for event in request]
        pushed = recent_watches(self._table(events), self._rule)
        while True:
            try:
                self._store.push(pushed)
            except StoreUnavailableError as error:
                log.warning("events not pushed yet", events=len(events), error=str(error))
                if self._pushing.is_stopping(RETRY_SECONDS):
                    return self._give_up(events, "this process ends")
            else:
                return self._metrics.count_events("pushed", len(events))

    def _give_up(self, events: Sequence[WatchEvent], why: str) -> None:
        """The daily ingest brings them; until then the user's look-ups lack them."""
        self._metrics.count_events("not_pushed", len(events))
        log.warning("events are stored but will not be pushed", events=len(events), why=why)

    def _table(self, events: Sequence[WatchEvent]) -> pa.Table:
        names = WatchEvent.model_fields
        schema = pa.schema([field for field in SCHEMAS[WATCHES] if field.name in names])
        rows = pa.Table.from_pylist([event.model_dump() for event in events], schema)
        durations = self._durations(rows[VIDEO_ID].to_pylist())
        return rows.append_column(DURATION_SECONDS, pa.array(durations, pa.float64()))
