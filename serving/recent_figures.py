"""The metrics of this process over the last minutes, for people without a Prometheus: the operations page.

Counters are compared with what they were some minutes ago. The quantiles follow Prometheus'
``histogram_quantile``: straight lines between the bounds of the buckets.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from serving.metrics import Metrics, Samples

WINDOW_SECONDS: Final = 300.0
TAKE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened between two moments."""

    now: Samples
    before: Samples
    seconds: float

    def value(self, name: str, **labels: str) -> float:
        """A gauge as it is now; NaN where there is none."""
        return self.now.get((name, tuple(sorted(labels.items()))), math.nan)

    def values(self, name: str, label: str) -> dict[str, float]:
        """A gauge by one of its labels."""
        return {dict(pairs)[label]: value for (one, pairs), value in self.now.items() if one == name}

    def total(self, name: str, **labels: str) -> float:
        """How much a counter has grown, summed over the labels that are not named."""
        return sum(self.by(name, next(iter(labels), ""), **labels).values())

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """How much a counter has grown, by one label."""
        found = dict[str, float]()
        for (one, pairs), value in self.now.items():
            own = dict(pairs)
            if one == name and all(own.get(key) == wanted for key, wanted in labels.items()):
                grown = value - self.before.get((one, pairs), 0.0)
                found[own.get(label, "")] = found.get(own.get(label, ""), 0.0) + grown
        return found

    def mean(self, name: str, **labels: str) -> float:
        """Mean of a histogram; NaN where nothing happened."""
        count = self.total(f"{name}_count", **labels)
        return self.total(f"{name}_sum", **labels) / count if count else math.nan

    def quantile(self, q: float, name: str, **labels: str) -> float:
        """Quantile of a histogram; NaN where nothing happened."""
        grown = self.by(f"{name}_bucket", "le", **labels)
        buckets = sorted((float(bound), count) for bound, count in grown.items())
        if not buckets or not buckets[-1][1]:
            return math.nan
        rank, low, below = q * buckets[-1][1], 0.0, 0.0
        for bound, count in buckets:
            if count >= rank and math.isfinite(bound):
                return low + (bound - low) * (rank - below) / (count - below) if count > below else bound
            if math.isfinite(bound):
                low, below = bound, count
        return low


class RecentFigures:
    """Remembers the metrics of the last minutes; ``take`` is to be called every ``TAKE_SECONDS``."""

    def __init__(self, metrics: Metrics, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._metrics = metrics
        self._window_seconds = window_seconds
        self._taken: deque[tuple[float, Samples]] = deque([(time.monotonic(), {})])
        self._lock = threading.Lock()

    def take(self) -> None:
        """Remember the metrics as they are; what is older than the window goes."""
        samples = self._metrics.samples()
        with self._lock:
            self._taken.append((time.monotonic(), samples))
            while len(self._taken) > 1 and self._taken[1][0] <= time.monotonic() - self._window_seconds:
                self._taken.popleft()

    def read(self) -> Figures:
        """From the start of the window, or of the process, until now."""
        now = self._metrics.samples()
        with self._lock:
            then, before = self._taken[0]
        return Figures(now, before, time.monotonic() - then)
