"""What batch tasks saw last, for monitoring: ``FACET_HOME/metrics/<task>.prom``, one file per task.

A file is OpenMetrics text, replaced as a whole when its task ends, also when it fails. Serving appends all
files to ``/metrics``. A task never fails for its figures, and a killed one leaves the file of the run before.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

import structlog

from features.settings import Settings
from features.stage import write_atomically

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

SUFFIX: Final = ".prom"
SUCCESS: Final = "facet_task_success"
FINISHED: Final = "facet_task_finished_timestamp_seconds"
DURATION: Final = "facet_task_duration_seconds"
LANDED_ROWS: Final = "facet_landed_rows"
QUARANTINED_ROWS: Final = "facet_quarantined_rows"
VALIDATION_FAILURES: Final = "facet_validation_failures"
MATERIALIZED_ROWS: Final = "facet_materialized_rows"
GATE_PASSED: Final = "facet_gate_passed"
GATE_RECALL: Final = "facet_gate_recall_at_50"
GATE_COVERAGE: Final = "facet_gate_coverage_ratio"
GATE_COSINE: Final = "facet_gate_mean_cosine"
VERIFIED_RECALL: Final = "facet_verified_index_recall"


@dataclass(frozen=True, slots=True)
class TaskMetric:
    """A figure that tasks record; always a gauge."""

    help: str
    labels: tuple[str, ...] = ()


TASK_METRICS: Final[Mapping[str, TaskMetric]] = MappingProxyType(
    {
        SUCCESS: TaskMetric("1 if the last run of a batch task ended well, else 0", ("task",)),
        FINISHED: TaskMetric("When the last run of a batch task ended, Unix time", ("task",)),
        DURATION: TaskMetric("Seconds that the last run of a batch task took", ("task",)),
        LANDED_ROWS: TaskMetric(
            "Rows of the landing days that were committed last, by where they went", ("table", "outcome")
        ),
        QUARANTINED_ROWS: TaskMetric(
            "Rows in quarantine of the landing days that were committed last, by rule", ("table", "rule")
        ),
        VALIDATION_FAILURES: TaskMetric(
            "Expectations that the last validation found broken, by severity", ("severity",)
        ),
        MATERIALIZED_ROWS: TaskMetric("Rows that the last materialize wrote to the online store"),
        GATE_PASSED: TaskMetric("1 if the gate let the newest bundle of a model pass, else 0", ("model",)),
        GATE_RECALL: TaskMetric(
            "recall_at_50 on the judged days, of the candidate and of what it was compared with",
            ("model", "side"),
        ),
        GATE_COVERAGE: TaskMetric(
            "Share of the catalogue in anybody's 50 best on the judged days", ("model", "side")
        ),
        GATE_COSINE: TaskMetric(
            "Mean cosine between a user's interests on the judged days; near 1 they collapsed",
            ("model", "side"),
        ),
        VERIFIED_RECALL: TaskMetric(
            "Share of exact search's hits that a collection found when it was published", ("channel",)
        ),
    }
)

_Figures = dict[tuple[str, tuple[str, ...]], float]
_RUNNING: Final[ContextVar[_Figures | None]] = ContextVar("figures of the running task", default=None)


def record(name: str, value: float | int, **labels: str) -> None:
    """Note a figure of the running task; outside of a task nothing happens.

    Args:
        name: one of ``TASK_METRICS``.
        labels: all that the table names for it.
    """
    wanted = TASK_METRICS[name].labels
    assert labels.keys() == set(wanted), f"{name} has the labels {wanted}"
    figures = _RUNNING.get()
    if figures is not None:
        figures[name, tuple(labels[label] for label in wanted)] = float(value)


@contextmanager
def recording(task: str, settings: Settings) -> Iterator[None]:
    """Write ``<task>.prom`` at the end of the ``with`` block: how it ended, when, and what was recorded."""
    figures: _Figures = {}
    before, started, is_done = _RUNNING.set(figures), time.monotonic(), False
    try:
        yield
        is_done = True
    finally:
        _RUNNING.reset(before)
        figures[SUCCESS, (task,)] = float(is_done)
        figures[FINISHED, (task,)] = time.time()
        figures[DURATION, (task,)] = time.monotonic() - started
        try:
            write_atomically(settings.metrics / f"{task}{SUFFIX}", _text(figures))
        except OSError as error:
            log.warning("figures of a task not written", task=task, error=str(error))


def recorded(task: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a function under ``recording`` for its keyword ``settings``, or for the environment's."""

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        @wraps(call)
        def noted(*args: P.args, **kwargs: P.kwargs) -> R:
            given = kwargs.get("settings")
            with recording(task, given if isinstance(given, Settings) else Settings()):
                return call(*args, **kwargs)

        return noted

    return decorate


def _text(figures: _Figures) -> str:
    from prometheus_client import CollectorRegistry, Gauge
    from prometheus_client.openmetrics.exposition import generate_latest

    registry, gauges = CollectorRegistry(), dict[str, Gauge]()
    for (name, values), value in figures.items():
        metric = TASK_METRICS[name]
        if name not in gauges:
            gauges[name] = Gauge(name, metric.help, metric.labels, registry=registry)
        (gauges[name].labels(*values) if values else gauges[name]).set(value)
    return str(generate_latest(registry).decode()).rstrip("\n")
