"""``/ops``: how this process and what it serves are doing, out of the metrics that Grafana shows too."""

import math
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from features.release import Release
from features.settings import Settings
from features.stage import Counts
from features.task_metrics import (
    DURATION,
    FINISHED,
    GATE_COSINE,
    GATE_COVERAGE,
    GATE_PASSED,
    GATE_RECALL,
    SUCCESS,
)
from features.validation.subjects import committed_counts
from serving.dag_runs import AirflowApi, DagRuns
from serving.errors import NoReleaseError
from serving.live import LiveRecaller
from serving.metrics import FRESHNESS_OF, STAGES, Metrics
from serving.pages.layout import page
from serving.recent_figures import Figures, RecentFigures
from serving.result import Reason

OPS: Final = "/ops"
SHOWN_DAYS: Final = 14
WARN_DAYS: Final[Mapping[str, float]] = {"features": 1.5, "logs": 1.5, "model": 3.0, "index": 3.0}
"""Where the alerts FacetStaleData and FacetStaleModel begin."""
MADE_OF: Final[Mapping[str, str]] = {
    "features": "end of the newest day in the features",
    "model": "end of what the model learned from",
    "index": "making of the vectors in the index",
    "logs": "end of the newest committed day",
}
REASONS: Final[Mapping[Reason, str]] = {
    Reason.UNKNOWN_USER: "no features of the user",
    Reason.NO_HISTORY: "no channel knows the history",
    Reason.SHORT_LIST: "popular videos fill the end",
    Reason.CHANNEL_LEFT_OUT: "a channel failed or was late",
    Reason.INDEX_UNAVAILABLE: "Milvus failed or was late",
    Reason.FEATURES_UNAVAILABLE: "the feature store failed or was late",
}


@dataclass(frozen=True, slots=True)
class Operations:
    """What the page is made from."""

    settings: Settings
    live: LiveRecaller
    metrics: Metrics
    airflow: AirflowApi | None = None
    figures: RecentFigures = field(init=False)

    def __post_init__(self) -> None:
        """Begin to remember."""
        object.__setattr__(self, "figures", RecentFigures(self.metrics))


def ops_router(operations: Operations) -> APIRouter:
    """The route of the page."""
    router = APIRouter()

    @router.get(OPS)
    async def ops(request: Request) -> HTMLResponse:
        """The whole page; Airflow has less than a second to answer."""
        airflow = operations.airflow
        runs = await airflow.newest_runs() if airflow else None
        return await run_in_threadpool(lambda: page(request, "ops.html", **_context(operations, runs)))

    return router


def _context(operations: Operations, runs: DagRuns | None) -> dict[str, Any]:
    figures = operations.figures.read()
    release, problem = _release(operations.live)
    return {
        "title": "Operations",
        "figures": figures,
        "release": release,
        "problem": problem,
        "trouble": operations.live.problem,
        "process": f"{os.getpid()} on {platform.node()}",
        "traffic": traffic(figures),
        "reasons": {reason.value: text for reason, text in REASONS.items()},
        "stages": [stage for stage in STAGES if figures.total("facet_latency_seconds_count", stage=stage)],
        "freshness": freshness(figures),
        "tasks": tasks(figures),
        "gates": gates(figures),
        "quarantine": quarantine(operations.settings),
        "runs": runs,
        "now": time.time(),
        "index_recall": _least(figures.values("facet_index_recall", "channel").values()),
        "age": age,
        "ago": ago,
        "length": length,
        "share": share,
        "milliseconds": milliseconds,
        "number": number,
    }


def _release(live: LiveRecaller) -> tuple[Release | None, str]:
    """What answers, or why nothing does."""
    try:
        return live.recaller.release, ""
    except NoReleaseError as error:
        return None, str(error)


def _least(values: Iterable[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def traffic(figures: Figures) -> dict[str, Any]:
    """What answers were like: counts, and shares of the answers."""
    requests = figures.by("facet_requests_total", "status")
    num_requests, answers = sum(requests.values()), requests.get("200", 0.0)
    errors = sum(count for status, count in requests.items() if status.startswith("5"))
    fallbacks = {k: v for k, v in figures.by("facet_fallback_total", "reason").items() if v}
    channels = {k: v for k, v in figures.by("facet_candidates_total", "channel").items() if v}
    return {
        "num_requests": num_requests,
        "per_second": num_requests / max(figures.seconds, 1.0),
        "answers": answers,
        "errors": errors / num_requests if num_requests else math.nan,
        "empty": figures.total("facet_empty_total") / answers if answers else math.nan,
        "short": figures.total("facet_short_total") / answers if answers else math.nan,
        "fallbacks": dict(sorted(fallbacks.items(), key=lambda one: -one[1])),
        "channels": dict(sorted(channels.items(), key=lambda one: -one[1])),
        "candidates": sum(channels.values()),
        "left_out": {k: v for k, v in figures.by("facet_channels_left_out_total", "channel").items() if v},
        "filtered": {k: v for k, v in figures.by("facet_filtered_total", "rule").items() if v},
    }


def freshness(figures: Figures) -> list[tuple[str, str, float, str]]:
    """Name, since when, seconds, and ``good`` or ``warn``."""
    found = []
    for name in FRESHNESS_OF:
        seconds = figures.value("facet_freshness_seconds", of=name)
        kind = "good" if seconds <= WARN_DAYS[name] * 86_400 else "warn"
        found.append((name, MADE_OF[name], seconds, kind))
    return found


def tasks(figures: Figures) -> list[dict[str, Any]]:
    """The last run of each batch task, the newest first."""
    finished = figures.values(FINISHED, "task")
    return [
        {
            "task": task,
            "is_well": bool(figures.value(SUCCESS, task=task)),
            "finished": moment,
            "seconds": figures.value(DURATION, task=task),
        }
        for task, moment in sorted(finished.items(), key=lambda one: -one[1])
    ]


def gates(figures: Figures) -> list[dict[str, Any]]:
    """What the gate saw of the newest bundle of each model."""
    return [
        {
            "model": model,
            "passed": bool(passed),
            "recall": figures.value(GATE_RECALL, model=model, side="candidate"),
            "reference": figures.value(GATE_RECALL, model=model, side="reference"),
            "coverage": figures.value(GATE_COVERAGE, model=model, side="candidate"),
            "cosine": figures.value(GATE_COSINE, model=model, side="candidate"),
        }
        for model, passed in sorted(figures.values(GATE_PASSED, "model").items())
    ]


def quarantine(settings: Settings) -> list[dict[str, Any]]:
    """Rows in quarantine of the newest landing days, the newest first, with their rules."""
    days = sorted((path.stem for path in (settings.reports / "ingest").glob("*.jsonl")), reverse=True)
    return [_day(day, committed_counts([day], settings)) for day in days[:SHOWN_DAYS]]


def _day(day: str, counts: list[Counts]) -> dict[str, Any]:
    rules = sum((Counter(count.rules) for count in counts), Counter[str]())
    read, refused = sum(one.read for one in counts), sum(one.quarantined for one in counts)
    refused_share = refused / read if read else 0.0
    return {
        "day": day,
        "read": read,
        "refused": refused,
        "share": refused_share,
        "rules": rules.most_common(),
    }


def age(seconds: float) -> str:
    """An age in its two largest units: ``3 d 4 h``; ``never`` if it is infinite, a dash if nobody knows."""
    if math.isnan(seconds):
        return "-"
    if math.isinf(seconds):
        return "never"
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    left, parts = int(max(seconds, 0)), []
    for name, size in units:
        if left >= size:
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def ago(seconds: float) -> str:
    """How long ago, in the largest unit: ``3 d ago``."""
    return f"{' '.join(age(seconds).split()[:2])} ago"


def length(seconds: float) -> str:
    """How long something took: tenths of a second, from a minute on as ``age``."""
    return age(seconds) if math.isnan(seconds) or seconds >= 60 else f"{seconds:.1f} s"


def share(value: float) -> str:
    """Percent, or a dash."""
    return "-" if math.isnan(value) else f"{value:.1%}"


def milliseconds(seconds: float) -> str:
    """Milliseconds, or a dash."""
    return "-" if math.isnan(seconds) else f"{1000 * seconds:.1f} ms"


def number(value: float, digits: int = 0) -> str:
    """A number with commas, or a dash."""
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"
