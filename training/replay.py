"""History replayed day by day: what a model would have recalled, had it been trained every night.

Each day is trained and judged on its own and leaves ``FACET_HOME/reports/backtest/<model>/<day>.json``, so
that a killed replay repeats one day. A summary stands beside the days.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict

from features.days import end_of, start_of
from features.links import REPORT, note_link
from features.settings import Settings
from features.stage import write_atomically
from training.backtest import Window, backtest, mean_and_spread
from training.metrics import Metrics
from training.settings import TrainingSettings

log = structlog.get_logger(__name__)

FOLDER: Final = "backtest"
SHOWN: Final = ("recall_at_20", "recall_at_50", "recall_at_200", "ndcg_at_50", "coverage")


class ReplayedDay(BaseModel):
    """A bundle of everything before ``day``, judged on ``day``."""

    model_config = ConfigDict(frozen=True)

    model: str
    day: str
    bundle: str
    metrics: Metrics


class Replay(BaseModel):
    """All days of a replay, oldest first; every day counts the same."""

    model_config = ConfigDict(frozen=True)

    days: list[ReplayedDay]
    mean: Metrics
    spread: Metrics


def replay_day(
    model: str, day: str, *, settings: Settings | None = None, training: TrainingSettings | None = None
) -> str:
    """Train ``model`` on everything before the UTC ``day``, judge it on that day, and return the day's file.

    Its settings are those of ``FACET_TRAIN_SET``, as every night. Nothing is released.

    Raises:
        BadInputError: unknown model, or no data before ``day``.
    """
    settings, training = settings or Settings(), training or TrainingSettings()
    overrides = training.train_set.get(model, ())
    window = Window(start_of(day), start_of(day), end_of(day))
    found = backtest(model, [window], settings=settings, overrides=overrides, training=training)
    done = ReplayedDay(model=model, day=day, bundle=str(found.bundles[0]), metrics=found.per_window[0])
    path = settings.reports / FOLDER / model / f"{day}.json"
    write_atomically(path, done.model_dump_json(indent=1))
    return str(path)


def summarize(paths: Sequence[str]) -> str:
    """Log the table of a replay, write it as JSON and as text beside its days; returns the JSON's path."""
    found = [ReplayedDay.model_validate_json(Path(path).read_text()) for path in paths]
    days = sorted(found, key=lambda done: done.day)
    mean, spread = mean_and_spread([done.metrics for done in days])
    folder = Path(paths[0]).parent
    name = f"{days[0].day}..{days[-1].day}"
    table = table_of(Replay(days=days, mean=mean, spread=spread))
    write_atomically(folder / f"{name}.txt", table)
    path = folder / f"{name}.summary.json"
    write_atomically(path, Replay(days=days, mean=mean, spread=spread).model_dump_json(indent=1))
    for line in table.splitlines():
        log.info(line)
    note_link(REPORT, folder / f"{name}.txt")
    return str(path)


def read_replay(path: str) -> Replay:
    """What ``summarize`` wrote."""
    return Replay.model_validate_json(Path(path).read_text())


def table_of(replay: Replay) -> str:
    """One line per day, then mean and standard deviation between days."""
    named = [name for name in SHOWN if any(name in done.metrics for done in replay.days)]
    lines = [f"{'day':12}" + "".join(f"{name:>16}" for name in named)]
    rows = [(done.day, done.metrics) for done in replay.days]
    for title, metrics in [*rows, ("mean", replay.mean), ("spread", replay.spread)]:
        lines.append(f"{title:12}" + "".join(_cell(metrics.get(name)) for name in named))
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    if value is None:
        return f"{'-':>16}"
    return f"{value:16.4f}"
