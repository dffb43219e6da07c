"""Every metric in one table: those of the serving process, and what batch tasks left in files.

All label values exist from the start, so that a rate over a rare event is 0 and not missing; those that name
channels exist from the moment that a release opens. ``docs/operating.md`` holds the table for people.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from features.task_metrics import TASK_METRICS
from serving.result import LeftOut, Reason, RecallResult, Rule
from serving.task_files import TaskFiles

log = structlog.get_logger(__name__)

STAGES: Final = ("features", "interests", "search", "neighbours", "followed", "popular", "merge", "total")
STRATEGIES: Final = ("interests", "filled", "popular", "none")
EVENT_OUTCOMES: Final = ("stored", "refused", "pushed", "not_pushed", "wrong_clock")
EXPOSURE_OUTCOMES: Final = ("stored", "lost", "counted", "not_counted")
STATUSES: Final = ("200", "413", "422", "429", "500", "503")
FRESHNESS_OF: Final = ("features", "model", "index", "logs")
CHECK_RESULTS: Final = ("done", "failed")
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; the deadlines of look-up and search lie inside."""
SHARES: Final = tuple(tenth / 10 for tenth in range(11))
FEW: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""Interests of a user."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric; ``labels`` maps each label to the values it can have."""

    kind: type[Counter] | type[Gauge] | type[Histogram]
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = BUCKETS
    """Of a histogram."""


METRICS: Final[dict[str, Spec]] = {
    "facet_requests_total": Spec(
        Counter,
        "Answers of /v1/recall and its batches by HTTP status and by where the list comes from",
        {"status": STATUSES, "strategy": STRATEGIES},
    ),
    "facet_latency_seconds": Spec(Histogram, "Seconds per stage of /v1/recall", {"stage": STAGES}),
    "facet_fallback_total": Spec(
        Counter,
        "Answers that are not, or not only, what all channels found",
        {"reason": tuple(reason.value for reason in Reason)},
    ),
    "facet_empty_total": Spec(Counter, "Answers without any candidate"),
    "facet_short_total": Spec(Counter, "Answers with fewer candidates than were asked for"),
    "facet_interests": Spec(
        Histogram,
        "Interests of a user per answer: all (before pruning) and those searched with (after)",
        {"pruning": ("before", "after")},
        FEW,
    ),
    "facet_searches_total": Spec(Counter, "Vectors that the index was searched with"),
    "facet_unknown_watches_total": Spec(
        Counter, "Watches of histories that no program could read, since nothing is known of their videos"
    ),
    "facet_overlap_ratio": Spec(
        Histogram,
        "Share of an answer's hits that more than one interest found",
        buckets=SHARES,
    ),
    "facet_candidates_total": Spec(
        Counter, "Candidates in answers, by the channel that found them first", {"channel": ()}
    ),
    "facet_filtered_total": Spec(
        Counter,
        "Videos that a rule kept out of the searches of an answer",
        {"rule": tuple(rule.value for rule in Rule)},
    ),
    "facet_channels_left_out_total": Spec(
        Counter,
        "Channels missing from an answer, by name of the channel and why",
        {"channel": (), "reason": tuple(reason.value for reason in LeftOut)},
    ),
    "facet_events_total": Spec(
        Counter,
        "Events of /v1/events: on disk or refused, pushed to the feature store, left to ingest",
        {"outcome": EVENT_OUTCOMES},
    ),
    "facet_exposures_total": Spec(
        Counter,
        "Candidates of answers: recorded for the landing area or lost, counted for impression caps or not",
        {"outcome": EXPOSURE_OUTCOMES},
    ),
    "facet_release_flips_total": Spec(
        Counter,
        "Releases that this process picked up, or could not open",
        {"result": ("opened", "failed")},
    ),
    "facet_release_mismatch_total": Spec(
        Counter, "Channels left out of an answer since parts of two releases met; must stay 0"
    ),
    "facet_release_info": Spec(
        Gauge, "1 for the release that this process answers from, 0 for earlier ones", {"version": ()}
    ),
    "facet_release_revision": Spec(
        Gauge, "Revision of the release pointer that this process follows; 0 without a release"
    ),
    "facet_release_age_seconds": Spec(Gauge, "Seconds since the live release was published"),
    "facet_freshness_seconds": Spec(
        Gauge,
        "Seconds since: the end of the newest day in the features, the end of what the model learned from, "
        "the making of the vectors in the index, the end of the newest committed day of logs; +Inf: never",
        {"of": FRESHNESS_OF},
    ),
    "facet_catalogue_videos": Spec(Gauge, "Videos that the live release can find"),
    "facet_catalogue_coverage_ratio": Spec(
        Gauge, "Share of the catalogue shown in the last answers of this process"
    ),
    "facet_index_recall": Spec(
        Gauge,
        "Share of exact search's hits that the index found for the newest searches, by channel; NaN: not yet",
        {"channel": ()},
    ),
    "facet_index_checks_total": Spec(
        Counter, "Comparisons of the index with exact search", {"result": CHECK_RESULTS}
    ),
    "facet_missed_deadlines": Spec(Gauge, "DAG runs that were late in the last 24 hours"),
    "facet_task_files_broken": Spec(Gauge, "Files of batch tasks that cannot be read and were left out"),
    **{name: Spec(Gauge, one.help, dict.fromkeys(one.labels, ())) for name, one in TASK_METRICS.items()},
}


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Value by name and sorted label pairs."""


class Metrics:
    """The metrics of one process or one test.

    Args:
        task_files: what batch tasks left, if that is to be part of it.
    """

    def __init__(self, task_files: TaskFiles | None = None) -> None:
        self._registry = CollectorRegistry()
        self._version: str | None = None
        self._updates: list[Callable[[], None]] = []
        self._checked: set[str] = set()
        self._metrics: dict[str, Any] = {
            name: self._create(name, spec) for name, spec in METRICS.items() if name not in TASK_METRICS
        }
        self._metrics["facet_release_age_seconds"].set(math.nan)
        for of in FRESHNESS_OF:
            self.set_gauge("facet_freshness_seconds", math.inf, of)
        self._task_files = task_files
        if task_files is not None:
            self._registry.register(task_files)

    def count_answer(self, result: RecallResult, seconds: float, *, top_n: int) -> None:
        """Count one answer of recall and its stages.

        Args:
            top_n: how many candidates were asked for.
        """
        self.count_request(200, result.strategy)
        if result.reason is not None:
            self._metrics["facet_fallback_total"].labels(result.reason.value).inc()
        for channel, why in result.left_out.items():
            self._metrics["facet_channels_left_out_total"].labels(channel, why.value).inc()
            if why is LeftOut.MISMATCH:
                self._metrics["facet_release_mismatch_total"].inc()
        latency = self._metrics["facet_latency_seconds"]
        for stage, elapsed in {**result.stage_seconds, "total": seconds}.items():
            latency.labels(stage).observe(elapsed)
        self._count_candidates(result, top_n)
        self._count_searches(result)

    def count_request(self, status: int, strategy: str = "none") -> None:
        """Count one request for recall by how it ended."""
        self._metrics["facet_requests_total"].labels(str(status), strategy).inc()

    def count_events(self, outcome: str, number: int) -> None:
        """Count events by what became of them."""
        self._metrics["facet_events_total"].labels(outcome).inc(number)

    def count_exposures(self, outcome: str, number: int) -> None:
        """Count candidates by what became of their record."""
        self._metrics["facet_exposures_total"].labels(outcome).inc(number)

    def count_flip(self, version: str, revision: int, channels: Iterable[str] = ()) -> None:
        """Record the release that answers from now on, and the names of its channels."""
        self._metrics["facet_release_flips_total"].labels("opened").inc()
        info = self._metrics["facet_release_info"]
        if self._version is not None:
            info.labels(self._version).set(0)
        info.labels(version).set(1)
        self._version = version
        self._metrics["facet_release_revision"].set(revision)
        for channel in self._checked:  # other collections are searched now, maybe by other channels
            self.set_gauge("facet_index_recall", math.nan, channel)
        for channel in channels:
            self._metrics["facet_candidates_total"].labels(channel)
            for why in LeftOut:
                self._metrics["facet_channels_left_out_total"].labels(channel, why.value)

    def count_failed_flip(self) -> None:
        """Record that a live release could not be opened."""
        self._metrics["facet_release_flips_total"].labels("failed").inc()

    def note_index_check(self, channel: str, share: float | None) -> None:
        """Record one comparison of the index with exact search; ``None``: the index did not answer."""
        self._metrics["facet_index_checks_total"].labels("failed" if share is None else "done").inc()
        if share is not None:
            self._checked.add(channel)
            self.set_gauge("facet_index_recall", share, channel)

    def set_gauge(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge of the table."""
        gauge = self._metrics[name]
        (gauge.labels(*labels) if labels else gauge).set(value)

    def before_reading(self, update: Callable[[], None]) -> None:
        """Have ``update`` called before each ``render`` and ``samples``, for gauges of how things are now."""
        self._updates.append(update)

    def render(self) -> bytes:
        """Prometheus' text format."""
        self._update()
        return generate_latest(self._registry)

    def samples(self) -> Samples:
        """What ``render`` says, as numbers."""
        self._update()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self._registry.collect()
            for sample in family.samples
        }

    def _update(self) -> None:
        for update in self._updates:
            try:
                update()
            except Exception:  # what one gauge trips over must not take away all the others
                log.exception("gauges keep their last values")
        if self._task_files is not None:
            self.set_gauge("facet_task_files_broken", float(self._task_files.read()))

    def _count_candidates(self, result: RecallResult, top_n: int) -> None:
        if not result.candidates:
            self._metrics["facet_empty_total"].inc()
        if len(result.candidates) < top_n:
            self._metrics["facet_short_total"].inc()
        first = [candidate.channels[0].channel for candidate in result.candidates if candidate.channels]
        for channel in set(first):
            self._metrics["facet_candidates_total"].labels(channel).inc(first.count(channel))

    def _count_searches(self, result: RecallResult) -> None:
        tally = result.tally
        for rule, videos in tally.ruled_out.items():
            self._metrics["facet_filtered_total"].labels(rule.value).inc(videos)
        self._metrics["facet_unknown_watches_total"].inc(tally.num_unknown)
        if not tally.num_interests:
            return
        interests = self._metrics["facet_interests"]
        interests.labels("before").observe(tally.num_interests)
        interests.labels("after").observe(tally.num_searched)
        self._metrics["facet_searches_total"].inc(tally.num_searched)
        if tally.num_hits:
            self._metrics["facet_overlap_ratio"].observe(tally.num_shared_hits / tally.num_hits)

    def _create(self, name: str, spec: Spec) -> Counter | Gauge | Histogram:
        buckets: dict[str, Any] = {"buckets": spec.buckets} if spec.kind is Histogram else {}
        metric = spec.kind(name, spec.help, list(spec.labels), registry=self._registry, **buckets)
        for values in itertools.product(*spec.labels.values()) if spec.labels else ():
            metric.labels(*values)
        return metric
