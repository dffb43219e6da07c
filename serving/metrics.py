"""Every metric of the serving process, in one table. All label values exist from the start, so that a rate
over a rare event is 0 and not missing.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.result import LeftOut, Reason, RecallResult

STAGES: Final = ("features", "interests", "search", "neighbours", "merge", "total")
STRATEGIES: Final = ("interests", "filled", "popular", "none")
EVENT_OUTCOMES: Final = ("stored", "pushed", "not_pushed")
EXPOSURE_OUTCOMES: Final = ("stored", "lost")
STATUSES: Final = ("200", "422", "500", "503")
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; the deadlines of look-up and search lie inside."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric; ``labels`` maps each label to the values it can have."""

    kind: type[Counter] | type[Gauge] | type[Histogram]
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


METRICS: Final[dict[str, Spec]] = {
    "facet_requests_total": Spec(
        Counter,
        "Answers of /v1/recall by HTTP status and by where the list comes from",
        {"status": STATUSES, "strategy": STRATEGIES},
    ),
    "facet_latency_seconds": Spec(Histogram, "Seconds per stage of /v1/recall", {"stage": STAGES}),
    "facet_fallback_total": Spec(
        Counter,
        "Answers that are not, or not only, what all channels found",
        {"reason": tuple(reason.value for reason in Reason)},
    ),
    "facet_channels_left_out_total": Spec(
        Counter,
        "Channels missing from an answer, by name of the channel and why",
        {"channel": (), "reason": tuple(reason.value for reason in LeftOut)},
    ),
    "facet_events_total": Spec(
        Counter,
        "Events of /v1/events: on disk, pushed to the feature store, or left to the daily ingest",
        {"outcome": EVENT_OUTCOMES},
    ),
    "facet_exposures_total": Spec(
        Counter,
        "Candidates of answers that were recorded for the landing area, or not",
        {"outcome": EXPOSURE_OUTCOMES},
    ),
    "facet_release_flips_total": Spec(
        Counter,
        "Releases that this process picked up, or could not open",
        {"result": ("opened", "failed")},
    ),
    "facet_release_info": Spec(
        Gauge, "1 for the release that this process answers from, 0 for earlier ones", {"version": ()}
    ),
    "facet_release_revision": Spec(Gauge, "Revision of the release pointer that this process follows"),
}


class Metrics:
    """The metrics of one process or one test."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._version: str | None = None
        self._metrics: dict[str, Any] = {name: self._create(name, spec) for name, spec in METRICS.items()}

    def count_answer(self, result: RecallResult, seconds: float) -> None:
        """Count one answer of recall and its stages."""
        self.count_request(200, result.strategy)
        if result.reason is not None:
            self._metrics["facet_fallback_total"].labels(result.reason.value).inc()
        for channel, why in result.left_out.items():
            self._metrics["facet_channels_left_out_total"].labels(channel, why.value).inc()
        latency = self._metrics["facet_latency_seconds"]
        for stage, elapsed in {**result.stage_seconds, "total": seconds}.items():
            latency.labels(stage).observe(elapsed)

    def count_request(self, status: int, strategy: str = "none") -> None:
        """Count one request of /v1/recall by how it ended."""
        self._metrics["facet_requests_total"].labels(str(status), strategy).inc()

    def count_events(self, outcome: str, number: int) -> None:
        """Count events by what became of them."""
        self._metrics["facet_events_total"].labels(outcome).inc(number)

    def count_exposures(self, outcome: str, number: int) -> None:
        """Count candidates by what became of their record."""
        self._metrics["facet_exposures_total"].labels(outcome).inc(number)

    def count_flip(self, version: str, revision: int) -> None:
        """Record the release that answers from now on."""
        self._metrics["facet_release_flips_total"].labels("opened").inc()
        info = self._metrics["facet_release_info"]
        if self._version is not None:
            info.labels(self._version).set(0)
        info.labels(version).set(1)
        self._version = version
        self._metrics["facet_release_revision"].set(revision)

    def count_failed_flip(self) -> None:
        """Record that a live release could not be opened."""
        self._metrics["facet_release_flips_total"].labels("failed").inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def _create(self, name: str, spec: Spec) -> Counter | Gauge | Histogram:
        buckets: dict[str, Any] = {"buckets": BUCKETS} if spec.kind is Histogram else {}
        metric = spec.kind(name, spec.help, list(spec.labels), registry=self._registry, **buckets)
        for values in itertools.product(*spec.labels.values()) if spec.labels else ():
            metric.labels(*values)
        return metric
