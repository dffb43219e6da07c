"""Many configurations trained on the same watches and judged on the same users, in one table.

Results lie in ``FACET_HOME/leaderboards/<name>/``, one JSON per row and seed, written at once: a killed run
continues where it was. The key of a result is a hash of model, full configuration, cut and table versions.
Figures are of the users of the half ``report``.
"""

import hashlib
import json
import multiprocessing
import os
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import structlog
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from features.bundle import open_bundle
from features.capacity import DEFAULT_CAPACITY, Capacity
from features.days import parse_moment, parse_span
from features.errors import BadInputError, FacetError
from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from training.config import parse_overrides
from training.evaluation import Judgement, judge_bundle
from training.intervals import mean_interval, paired_interval
from training.metrics import MAIN_METRIC, Metrics
from training.models import find_model
from training.run import train
from training.settings import TrainingSettings
from training.tracking import tracked_run

log = structlog.get_logger(__name__)
Seeds = Annotated[tuple[int, ...], Field(min_length=1)]


class Row(BaseModel):
    """One line of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    model: str
    overrides: tuple[str, ...] = Field(default=(), alias="set")
    seeds: Seeds | None = None


class LeaderboardConfig(BaseModel):
    """What the TOML file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: str
    days: str
    seeds: Seeds = (7,)
    reference: str | None = None
    best: PositiveInt = 5
    best_seeds: tuple[int, ...] = ()
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_clear(self) -> "LeaderboardConfig":
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f"two rows have one name: {names}")
        if self.reference is not None and self.reference not in names:
            raise ValueError(f"reference={self.reference!r} is none of the rows {names}")
        parse_moment(self.until)
        parse_span(self.days)
        return self


class Result(BaseModel):
    """One row with one seed; it is judged anew for other ``days`` and for another rule of capacity."""

    bundle: Path
    minutes: float
    days: str = ""
    capacity: Capacity | None = None
    metrics: Metrics = {}
    groups: dict[str, dict[str, Metrics]] = {}
    user_ids: list[int] = []
    main: list[float] = []
    megabytes: float = 0.0
    examples_per_second: float | None = None

    def is_judged(self, days: str) -> bool:
        """Whether the metrics are those of ``days`` and of today's pruning."""
        return bool(self.metrics) and (self.days, self.capacity) == (days, DEFAULT_CAPACITY)

    def judgement(self) -> Judgement:
        """As the paired interval wants it."""
        return Judgement(self.metrics, np.array(self.user_ids, dtype=np.int64), np.array(self.main))


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The lines in the order of the file, those that failed left out, and the errors by row."""

    rows: list[dict[str, Any]]
    groups: dict[str, dict[str, dict[str, Metrics]]]
    """Row to grouping to group to metrics, of the row's first seed."""
    failed: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Job:
    """What one process is told."""

    row: Row
    seed: int
    until: str
    days: str
    folder: Path
    settings: Settings
    training: TrainingSettings

    @property
    def overrides(self) -> tuple[str, ...]:
        seeded = "seed" in find_model(self.row.model).Config.model_fields
        return (*self.row.overrides, f"seed={self.seed}") if seeded else self.row.overrides


def read_config(path: Path) -> LeaderboardConfig:
    """Raises ``BadInputError`` for a file that is no leaderboard."""
    try:
        return LeaderboardConfig.model_validate(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise BadInputError(f"{path} is no leaderboard: {error}") from error


def run_leaderboard(
    config: LeaderboardConfig,
    name: str,
    *,
    settings: Settings,
    parallel: int = 1,
    training: TrainingSettings | None = None,
) -> Leaderboard:
    """Train and judge what is missing; the error of a row does not stop the others."""
    training = training or TrainingSettings()
    folder = settings.root / "leaderboards" / name
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[int, Result]] = {row.name: {} for row in config.rows}
    failed: dict[str, str] = {}

    def run(wanted: Iterable[tuple[Row, int]]) -> None:
        jobs = [
            _Job(row, seed, config.until, config.days, folder, settings, training) for row, seed in wanted
        ]
        for job, outcome in _outcomes(jobs, parallel):
            if isinstance(outcome, Result):
                results[job.row.name][job.seed] = outcome
                value = outcome.metrics.get(MAIN_METRIC)
                log.info("row finished", row=job.row.name, seed=job.seed, **{MAIN_METRIC: value})
            else:
                failed[job.row.name] = outcome

    run((row, seed) for row in config.rows for seed in row.seeds or config.seeds)
    good = [row for row in config.rows if results[row.name] and row.name not in failed]
    good.sort(key=lambda row: -_mean(results[row.name].values(), MAIN_METRIC))
    run((row, s) for row in good[: config.best] for s in config.best_seeds if s not in results[row.name])
    table = _table(config, {n: r for n, r in results.items() if r and n not in failed})
    _track(name, table, settings, training)
    groups = {line["name"]: next(iter(results[line["name"]].values())).groups for line in table}
    return Leaderboard(table, groups, failed)


def _outcomes(jobs: Sequence[_Job], parallel: int) -> Iterable[tuple[_Job, Result | str]]:
    if parallel == 1:
        yield from ((job, _attempt(job)) for job in jobs)
        return
    with ProcessPoolExecutor(parallel, multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[Result | str], _Job] = {pool.submit(_attempt, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _attempt(job: _Job) -> Result | str:
    try:
        return _result(job)
    except (FacetError, ValueError, RuntimeError, OSError, MemoryError) as error:
        log.error("row failed", row=job.row.name, seed=job.seed, error=str(error))
        return f"{type(error).__name__}: {error}"


def _result(job: _Job) -> Result:
    path = job.folder / f"{_key(job)}.json"
    result = Result.model_validate_json(path.read_text()) if path.exists() else None
    if result is None or not (result.is_judged(job.days) or result.bundle.exists()):
        started = time.perf_counter()
        bundle = train(
            job.row.model,
            parse_moment(job.until),
            settings=job.settings,
            overrides=job.overrides,
            show_progress=False,
            training=job.training,
        )
        result = Result(bundle=bundle, minutes=(time.perf_counter() - started) / 60)
        _write(path, result)
    if not result.is_judged(job.days):
        result = _judged(result, job)
        _write(path, result)
    return result


def _judged(result: Result, job: _Job) -> Result:
    start, end = parse_span(job.days)
    judged = judge_bundle(result.bundle, start, end, settings=job.settings, half="report")
    size = sum(file.stat().st_size for file in result.bundle.rglob("*") if file.is_file())
    facts = {
        "days": job.days,
        "capacity": DEFAULT_CAPACITY,
        "metrics": judged.metrics,
        "groups": judged.groups,
        "user_ids": judged.user_ids.tolist(),
        "main": judged.main.tolist(),
        "megabytes": size / 1e6,
        "examples_per_second": open_bundle(result.bundle).manifest.metrics.get("examples_per_second"),
    }
    return result.model_copy(update=facts)


def _key(job: _Job) -> str:
    config = parse_overrides(find_model(job.row.model).Config, job.overrides)
    if "rule" not in config.model_fields_set:
        config = config.model_copy(update={"rule": job.settings.rule})
    lake = Lake(job.settings)
    versions = {table: lake.snapshot(table) for table in (WATCHES, VIDEOS, USERS) if lake.has(table)}
    facts = [job.row.model, config.model_dump(mode="json"), parse_moment(job.until).isoformat(), versions]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _write(path: Path, result: Result) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(result.model_dump_json())
    partial.replace(path)


def _mean(results: Iterable[Result], metric: str) -> float:
    return float(np.mean([result.metrics.get(metric) or 0.0 for result in results]))


def _table(config: LeaderboardConfig, results: dict[str, dict[int, Result]]) -> list[dict[str, Any]]:
    reference = results.get(config.reference or config.rows[0].name)
    return [_line(row, results[row.name], reference) for row in config.rows if row.name in results]


def _line(row: Row, results: dict[int, Result], reference: dict[int, Result] | None) -> dict[str, Any]:
    ours = list(results.values())
    line: dict[str, Any] = {"name": row.name, "model": row.model, "seeds": len(ours)}
    for metric in ours[0].metrics:
        values = [v for result in ours if (v := result.metrics.get(metric)) is not None]
        line[metric] = float(np.mean(values)) if values else None
    mains = [result.metrics.get(MAIN_METRIC) or 0.0 for result in ours]
    mine = _over_seeds(ours)
    line["interval"] = mean_interval(mine.main)
    line["spread"] = float(np.std(mains, ddof=1)) if len(mains) > 1 else None
    theirs = _over_seeds(list(reference.values())) if reference and reference is not results else None
    base = float(np.mean(theirs.main)) if theirs and len(theirs.main) else 0.0
    line["change"] = float(np.mean(mine.main)) / base - 1 if base else None
    line["change_interval"] = paired_interval(mine, theirs) if theirs and base else None
    speeds = [r.examples_per_second for r in ours if r.examples_per_second is not None]
    line["examples_per_second"] = float(np.mean(speeds)) if speeds else None
    line["minutes"] = float(np.mean([r.minutes for r in ours]))
    line["megabytes"] = float(np.mean([r.megabytes for r in ours]))
    line["bundles"] = [str(r.bundle) for r in ours]
    return line


def _over_seeds(results: Sequence[Result]) -> Judgement:
    """Each user's mean over the seeds; the users are the same for every seed."""
    first = results[0].judgement()
    return Judgement(first.metrics, first.user_ids, np.mean([r.main for r in results], axis=0))


def _track(name: str, table: list[dict[str, Any]], settings: Settings, training: TrainingSettings) -> None:
    for line in table:
        with tracked_run(f"leaderboard {name}", settings=settings, training=training) as tracker:
            tracker.log_params({"row": line["name"], "model": line["model"], "seeds": line["seeds"]})
            tracker.log_metrics({k: v for k, v in line.items() if isinstance(v, float)})
            tracker.set_tag("bundle", line["bundles"][0])
            tracker.log_table(table, "leaderboard")
