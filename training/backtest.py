"""One configuration trained and judged on several windows, since one week may favour a model by luck.

Shape letters: W windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import structlog

from features.errors import BadInputError
from features.settings import Settings
from training.evaluation import Half, judge_bundle
from training.metrics import Metrics
from training.run import train
from training.settings import TrainingSettings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """Train on the watches before ``until``, judge on the targets in [start, end)."""

    until: datetime
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if not self.until <= self.start < self.end:
            raise BadInputError(
                f"a window needs until <= start < end, not {self.until.isoformat()}, "
                f"{self.start.isoformat()}, {self.end.isoformat()}"
            )


@dataclass(frozen=True, slots=True)
class Backtest:
    """Metrics of each window, in their order, and over all of them."""

    windows: tuple[Window, ...]
    bundles: tuple[Path, ...]
    per_window: tuple[Metrics, ...]
    mean: Metrics
    """Every window counts the same, however many users it has."""
    spread: Metrics
    """Standard deviation between windows, of a sample (W - 1); ``None`` below two windows."""


def backtest(
    model: str,
    windows: Sequence[Window],
    *,
    settings: Settings,
    overrides: Sequence[str] = (),
    half: Half = "all",
    training: TrainingSettings | None = None,
) -> Backtest:
    """Train ``model`` once per window and judge each bundle on the days of its window.

    Args:
        overrides: ``key=value`` of the model's configuration.

    Raises:
        BadInputError: no windows, an unknown model or key, or no data before a window.
        TrainingDivergedError: the loss is no number any more.
    """
    if not windows:
        raise BadInputError("a backtest needs at least one window")
    bundles, judged = [], []
    for window in windows:
        bundle = train(
            model,
            window.until,
            settings=settings,
            overrides=overrides,
            show_progress=False,
            training=training,
        )
        metrics = judge_bundle(bundle, window.start, window.end, settings=settings, half=half).metrics
        log.info("window judged", model=model, until=window.until.isoformat(), **metrics)
        bundles.append(bundle)
        judged.append(metrics)
    mean, spread = mean_and_spread(judged)
    return Backtest(tuple(windows), tuple(bundles), tuple(judged), mean, spread)


def mean_and_spread(judged: Sequence[Metrics]) -> tuple[Metrics, Metrics]:
    """Mean and sample standard deviation of each metric over the windows that have it."""
    mean: Metrics = {}
    spread: Metrics = {}
    for name in dict.fromkeys(name for metrics in judged for name in metrics):
        values = [value for metrics in judged if (value := metrics.get(name)) is not None]
        mean[name] = float(np.mean(values)) if values else None
        spread[name] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return mean, spread
