"""A search for the settings of a model: Optuna on the users of the half ``tune``, resumable in SQLite."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import optuna

from features.errors import BadInputError
from features.home_lock import shared_home
from features.lake import Lake
from features.settings import Settings
from training.build import build_bundle
from training.config import ModelConfig, parse_overrides
from training.dataset import WatchLog
from training.errors import TrainingDivergedError
from training.evaluation import judge_bundle
from training.metrics import MAIN_METRIC
from training.models import Run, find_model
from training.settings import TrainingSettings
from training.tracking import NoTracker

Bounds = tuple[float, float, str]
"""Lowest, highest and ``log``, ``linear`` or ``int`` (on a log scale)."""
SPACE: Final[dict[str, Bounds]] = {
    "learning_rate": (1e-4, 1e-2, "log"),
    "table_learning_rate": (1e-3, 1e-1, "log"),
    "temperature": (0.02, 0.3, "log"),
    "num_negatives": (128.0, 4096.0, "int"),
    "dropout": (0.0, 0.5, "linear"),
    "item_dropout": (0.0, 0.5, "linear"),
    "popularity_share": (0.0, 1.0, "linear"),
    "window_days": (1.0, 30.0, "int"),
}
"""Searched where the model has the setting and ``--set`` does not fix it; ``--space`` replaces all."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best trial, and what repeats it."""

    trial: int
    value: float
    overrides: tuple[str, ...]
    num_trials: int


class _Pruning(NoTracker):
    """Asks after every validated epoch whether the trial is worth finishing."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        value = metrics.get(MAIN_METRIC)
        if value is None or not step:
            return
        self._trial.report(value, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def tune(
    model: str,
    until: datetime,
    span: tuple[datetime, datetime],
    num_trials: int,
    *,
    settings: Settings,
    overrides: Sequence[str] = (),
    space: Mapping[str, Bounds] | None = None,
) -> Best:
    """Run until the study of these arguments has ``num_trials`` trials; the objective is ``recall_at_50``.

    Raises:
        BadInputError: an unknown model or key, nothing to search, or no trial that finished.
    """
    config = find_model(model).Config
    fixed = {text.partition("=")[0] for text in overrides}
    wanted = {k: v for k, v in (space or SPACE).items() if k in config.model_fields and k not in fixed}
    if not wanted:
        raise BadInputError(f"nothing to search for {model}: name its settings in --space")
    study = _study(model, until, span, overrides, wanted, settings)

    def objective(trial: optuna.Trial) -> float:
        chosen = (*overrides, *(f"{k}={_suggest(trial, k, v)}" for k, v in wanted.items()))
        trial.set_user_attr("overrides", list(chosen))
        return _value(model, parse_overrides(config, chosen), until, span, trial, settings)

    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(objective, n_trials=max(num_trials - done, 0), catch=(TrainingDivergedError,))
    finished = [trial for trial in study.trials if trial.value is not None and trial.state.name == "COMPLETE"]
    if not finished:
        raise BadInputError("no trial finished; narrow the bounds or allow more trials")
    best = study.best_trial
    assert best.value is not None
    return Best(best.number, best.value, tuple(best.user_attrs["overrides"]), len(study.trials))


def _study(
    model: str,
    until: datetime,
    span: tuple[datetime, datetime],
    overrides: Sequence[str],
    space: Mapping[str, Bounds],
    settings: Settings,
) -> optuna.Study:
    """The study of exactly these arguments, rule and data; a new one if there is none."""
    folder = settings.root / "tune"
    folder.mkdir(parents=True, exist_ok=True)
    source = WatchLog(Lake(settings), max(until, span[1]), settings.rule).source()
    facts = {
        "until": until.isoformat(),
        "span": [moment.isoformat() for moment in span],
        "overrides": list(overrides),
        "space": space,
        "data": source.snapshots,
        "rule": settings.rule.model_dump(mode="json"),
    }
    return optuna.create_study(
        storage=f"sqlite:///{folder / f'{model}-{until:%Y%m%dT%H%M}'}.db",
        study_name=json.dumps(facts),
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=7),
        pruner=optuna.pruners.MedianPruner(),
    )


def _value(
    model: str,
    config: ModelConfig,
    until: datetime,
    span: tuple[datetime, datetime],
    trial: optuna.Trial,
    settings: Settings,
) -> float:
    """``recall_at_50`` of one configuration on the half ``tune``; its bundle does not stay."""
    if "rule" not in config.model_fields_set:
        config = config.model_copy(update={"rule": settings.rule})
    run = Run(Lake(settings), until, _Pruning(trial), num_threads=TrainingSettings().train_threads)
    with (
        shared_home(settings),
        tempfile.TemporaryDirectory(prefix="trial-", dir=settings.root / "tune") as place,
    ):
        bundle = build_bundle(model, config, run, Path(place))
        return judge_bundle(bundle, *span, settings=settings, half="tune").metrics[MAIN_METRIC] or 0.0


def read_space(path: Path) -> dict[str, Bounds]:
    """A TOML file of ``key = [lowest, highest, "log" | "linear" | "int"]``."""
    import tomllib

    try:
        table: dict[str, Any] = tomllib.loads(path.read_text())
        return {key: (float(low), float(high), str(scale)) for key, (low, high, scale) in table.items()}
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise BadInputError(f"{path} is no search space: {error}") from error


def _suggest(trial: optuna.Trial, key: str, bounds: Bounds) -> float | int:
    low, high, scale = bounds
    if scale == "int":
        return trial.suggest_int(key, int(low), int(high), log=low > 0)
    return trial.suggest_float(key, low, high, log=scale == "log")
