"""Counts what answers showed, for the next look-ups of their users, where the release caps impressions.

A thread of its own adds them to the feature store soon after the answer. Counts go without a promise: what a
store that is away does not take is not counted, since a video that is shown once more does no harm.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import numpy as np
import structlog
from jaxtyping import Int64

from features.errors import StoreUnavailableError
from features.impressions import shown_on
from serving.background import Background
from serving.metrics import Metrics
from serving.result import RecallResult

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 1000
"""Answers that wait to be counted; further ones are not."""
MAX_TOGETHER: Final = 100
"""Answers that are counted in one call."""


@runtime_checkable
class ImpressionStore(Protocol):
    """Where counts go: ``features.store.FeatureStore``."""

    def push_shown(self, shown: Mapping[int, Sequence[Int64[np.ndarray, "_ 3"]]]) -> None:
        """Add answers by user. Raises ``StoreUnavailableError``."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    user_id: int
    video_ids: tuple[int, ...]
    moment: datetime


class ImpressionSink:
    """Adds answers to the counts of their users.

    Args:
        open_store: called once, by the thread that counts: opening takes seconds.
    """

    def __init__(self, open_store: Callable[[], ImpressionStore], metrics: Metrics) -> None:
        self._open_store = open_store
        self._metrics = metrics
        self._counting = Background[_Answer](
            "count impressions", self._count, max_waiting=MAX_WAITING, max_together=MAX_TOGETHER
        )

    def start(self) -> None:
        """Begin to count."""
        self._counting.start()

    def stop(self, timeout_seconds: float) -> None:
        """Count what waits, for so long at most."""
        self._counting.stop(timeout_seconds)

    def note(self, result: RecallResult, moment: datetime, ranks: int) -> None:
        """Count the first ``ranks`` candidates of an answer as shown."""
        video_ids = tuple(candidate.video_id for candidate in result.candidates[:ranks])
        answer = _Answer(result.user_id, video_ids, moment)
        if not self._counting.put(answer):
            self._lose([answer], "too many wait already")

    @cached_property
    def _store(self) -> ImpressionStore:
        return self._open_store()

    def _count(self, answers: list[_Answer]) -> None:
        shown: dict[int, list[Int64[np.ndarray, "_ 3"]]] = {}
        for answer in answers:
            shown.setdefault(answer.user_id, []).append(shown_on(answer.video_ids, answer.moment))
        try:
            self._store.push_shown(shown)
        except StoreUnavailableError as error:
            return self._lose(answers, str(error))
        self._metrics.count_exposures("counted", sum(len(answer.video_ids) for answer in answers))

    def _lose(self, answers: list[_Answer], why: str) -> None:
        self._metrics.count_exposures("not_counted", sum(len(answer.video_ids) for answer in answers))
        log.warning("impressions not counted", answers=len(answers), why=why)
