"""The gate: may a candidate replace what serves now?

The judged days lie after the data of both bundles. The candidate passes when the lower end of the 95% paired
bootstrap interval of its ``recall_at_50``, relative to the champion's, lies above -1%, and when its lists and
interests look healthy. Every refusal has a reason.
"""

import math
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from features.bundle import RANKING_KIND, Manifest, open_bundle
from features.errors import BadInputError
from features.lake import Lake
from features.log_table import log_table
from features.settings import Settings
from features.task_metrics import GATE_COSINE, GATE_COVERAGE, GATE_PASSED, GATE_RECALL, record
from training.build import build_bundle
from training.evaluation import Judgement, judge_bundle
from training.intervals import paired_interval
from training.metrics import MAIN_METRIC, MAX_MEAN_COSINE, Metrics
from training.models import SUPPLEMENTS, Run
from training.models.popularity import PopularityConfig
from training.tracking import NoTracker

log = structlog.get_logger(__name__)

MIN_RELATIVE_CHANGE: Final = -0.01
"""Lowest acceptable lower end of the interval."""
MIN_COVERAGE_RATIO: Final = 0.5
"""Smallest share of the champion's coverage."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided, and on what grounds."""

    passed: bool
    reasons: list[str]
    """Why the candidate was refused; empty if it passed."""
    candidate: Metrics
    reference: Metrics = field(default_factory=dict)
    """Of the champion, or of popularity trained on the same days; empty when nothing was compared."""
    interval: tuple[float, float] | None = None
    """95% interval of the relative change of ``recall_at_50`` against the reference."""
    judgement: Judgement | None = None
    """All of the candidate's figures, for plots."""


def judge(
    candidate: Path, champion: Path | None, start: datetime, end: datetime, *, settings: Settings
) -> Verdict:
    """Judge ``candidate`` on the targets in [start, end).

    A ``ranking`` bundle is the fallback and only has to be sane, as do the ``SUPPLEMENTS``; others are
    compared with ``champion``, or with popularity if there is none.

    Raises:
        BadInputError: one of the bundles was trained on the judged days.
    """
    manifest = _unspoilt(candidate, start)
    ours = judge_bundle(candidate, start, end, settings=settings)
    reasons = sanity_problems(ours.metrics)
    if manifest.kind == RANKING_KIND or manifest.model in SUPPLEMENTS:
        verdict = Verdict(not reasons, reasons, ours.metrics, judgement=ours)
    else:
        theirs = _reference(champion, manifest, start, end, settings)
        interval = paired_interval(ours, theirs)
        reasons += comparison_problems(ours.metrics, theirs.metrics, interval)
        verdict = Verdict(not reasons, reasons, ours.metrics, theirs.metrics, interval, ours)
    _record(manifest.model, verdict)
    log_table(f"gate: {manifest.model}/{manifest.version} on {start:%Y-%m-%d}", comparison(verdict))
    log.info("gate passed" if verdict.passed else "gate refused", bundle=str(candidate), reasons=reasons,
             interval=verdict.interval)  # fmt: skip
    return verdict


def sanity_problems(metrics: Metrics) -> list[str]:
    """What makes a bundle unfit whatever it is compared with."""
    if not metrics["num_users"]:
        return ["nobody has a target on the judged days, so nothing can be judged"]
    broken = sorted(name for name, value in metrics.items() if value is not None and not math.isfinite(value))
    problems = [f"{', '.join(broken)} not finite"] if broken else []
    if metrics[MAIN_METRIC] == 0:
        problems.append(f"{MAIN_METRIC} is 0: the lists hit nothing")
    cosine = metrics["mean_cosine"]
    if cosine is not None and cosine > MAX_MEAN_COSINE:
        problems.append(f"interests collapsed: mean_cosine {cosine:.3f} is above {MAX_MEAN_COSINE}")
    return problems


def comparison_problems(ours: Metrics, theirs: Metrics, interval: tuple[float, float]) -> list[str]:
    """What makes a candidate worse than the reference."""
    problems = []
    if not interval[0] > MIN_RELATIVE_CHANGE:  # "not above", so that NaN is refused
        problems.append(
            f"{MAIN_METRIC} is {ours[MAIN_METRIC]:.4f} against {theirs[MAIN_METRIC]:.4f}: the change, "
            f"{interval[0]:+.1%} to {interval[1]:+.1%}, must lie above {MIN_RELATIVE_CHANGE:+.0%}"
        )
    lowest = MIN_COVERAGE_RATIO * (theirs["coverage"] or 0)
    if not (ours["coverage"] or 0) >= lowest:
        problems.append(f"coverage is {ours['coverage']:.4f}; half of the reference's is {lowest:.4f}")
    return problems


def comparison(verdict: Verdict) -> list[dict[str, str | float | None]]:
    """For a table: each metric of the candidate beside the reference's."""
    return [
        {"metric": name, "candidate": value, "reference": verdict.reference.get(name)}
        for name, value in verdict.candidate.items()
    ]


def _record(model: str, verdict: Verdict) -> None:
    record(GATE_PASSED, verdict.passed, model=model)
    for side, metrics in (("candidate", verdict.candidate), ("reference", verdict.reference)):
        for name, figure in (
            (GATE_RECALL, MAIN_METRIC),
            (GATE_COVERAGE, "coverage"),
            (GATE_COSINE, "mean_cosine"),
        ):
            if (value := metrics.get(figure)) is not None:
                record(name, value, model=model, side=side)


def _reference(
    champion: Path | None, candidate: Manifest, start: datetime, end: datetime, settings: Settings
) -> Judgement:
    if champion is not None:
        _unspoilt(champion, start)
        return judge_bundle(champion, start, end, settings=settings)
    with tempfile.TemporaryDirectory(prefix="facet-gate-") as folder:
        run = Run(Lake(settings), candidate.data.until, NoTracker())
        config = PopularityConfig(rule=candidate.rule)
        popularity = build_bundle("popularity", config, run, Path(folder))
        return judge_bundle(popularity, start, end, settings=settings)


def _unspoilt(path: Path, start: datetime) -> Manifest:
    manifest = open_bundle(path).manifest
    if manifest.known_until > start:
        raise BadInputError(
            f"{path} knows what happened until {manifest.known_until.isoformat()}, after the judged days "
            f"begin ({start.isoformat()}); judge on later days"
        )
    return manifest
