"""What answers showed, written to the landing area in the background, as watches of clients are.

A watch that names the ``request_id`` of an answer belongs to its exposure: ingest fills the watch's channel
and interest from it, and ``facet ab report`` compares arms.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from features.errors import RetryLaterError
from features.landing_log import LandingLog
from features.merge_config import NO_CAP, ImpressionCap
from features.schema import (
    ARM,
    CHANNEL,
    EVENT_TIME,
    INTEREST,
    RANK,
    RELEASE,
    REQUEST_ID,
    USER_ID,
    VIDEO_ID,
)
from serving.background import Background
from serving.impressions import ImpressionSink
from serving.metrics import Metrics
from serving.result import RecallResult

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 1000
"""Answers that wait to be written; further ones are not recorded."""
MAX_TOGETHER: Final = 50
"""Answers of one write."""
LINGER_SECONDS: Final = 0.1
"""An answer waits so long for others: a write to disk each would get in the way of the answers themselves."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer and its moment."""

    result: RecallResult
    moment: datetime


class ExposureLog:
    """Records answers; a full disk costs exposures, never an answer.

    Args:
        impressions: counts them for the next answers, too.
    """

    def __init__(
        self, exposures: LandingLog, metrics: Metrics, impressions: ImpressionSink | None = None
    ) -> None:
        self._exposures = exposures
        self._impressions = impressions
        self._metrics = metrics
        self._writing = Background[Shown](
            "write exposures",
            self._write,
            max_waiting=MAX_WAITING,
            max_together=MAX_TOGETHER,
            linger_seconds=LINGER_SECONDS,
        )

    def start(self) -> None:
        """Begin to write."""
        self._writing.start()
        if self._impressions:
            self._impressions.start()

    def stop(self, timeout_seconds: float) -> None:
        """Write what waits, for so long at most, and land it."""
        self._writing.stop(timeout_seconds)
        if self._impressions:
            self._impressions.stop(timeout_seconds)
        self.hand_over(everything=True)

    def note(self, result: RecallResult, cap: ImpressionCap = NO_CAP) -> None:
        """Record an answer that was given now.

        Args:
            cap: of the release; without a limit nothing is counted.
        """
        shown = Shown(result, datetime.now(UTC))
        if self._impressions and cap.max_shown is not None:
            self._impressions.note(result, shown.moment, cap.shown_ranks)
        if not self._writing.put(shown):
            self._lose([shown], "too many wait already")

    def hand_over(self, *, everything: bool = False) -> None:
        """Land files that are due; to be called every second or so."""
        self._exposures.hand_over(everything=everything)

    def _write(self, answers: list[Shown]) -> None:
        try:
            self._exposures.append([row for shown in answers for row in _rows(shown)])
        except RetryLaterError as error:
            return self._lose(answers, str(error))
        self._metrics.count_exposures("stored", sum(len(shown.result.candidates) for shown in answers))

    def _lose(self, answers: list[Shown], why: str) -> None:
        self._metrics.count_exposures("lost", sum(len(shown.result.candidates) for shown in answers))
        log.warning("exposures lost", answers=len(answers), why=why)


def _rows(shown: Shown) -> Iterator[str]:
    """One JSON object per candidate, with the columns of the table of exposures.

    The channel is the first that found it, and the interest is one of that channel.
    """
    result = shown.result
    common = {
        REQUEST_ID: result.request_id,
        USER_ID: result.user_id,
        EVENT_TIME: shown.moment.isoformat(),
        RELEASE: result.release,
        ARM: result.arm,
    }
    # What all rows share is encoded once: a second of json.dumps per 700 answers otherwise.
    start = json.dumps(common, separators=(",", ":")).removesuffix("}")
    names = {first.channel for each in result.candidates for first in each.channels[:1]}
    channels = {name: json.dumps(name) for name in names}
    for rank, candidate in enumerate(result.candidates):
        channel = interest = "null"
        for first in candidate.channels[:1]:  # the interest of another channel would not be one of this
            channel = channels[first.channel]
            interest = str(first.interests[0]) if first.interests else "null"
        yield (
            f'{start},"{VIDEO_ID}":{candidate.video_id},"{RANK}":{rank},'
            f'"{CHANNEL}":{channel},"{INTEREST}":{interest}}}'
        )
