"""From a model's name and a moment to a bundle: the entry points of the command line and of the DAG."""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import structlog

from features.bundle import open_bundle
from features.days import end_of, start_of
from features.errors import BadInputError
from features.home_lock import beside_others
from features.lake import Lake
from features.settings import Settings
from training.build import build_bundle
from training.config import ModelConfig, parse_overrides
from training.errors import GateRefusedError
from training.gate import Verdict, comparison, judge
from training.group import Group
from training.models import Run, find_model
from training.run_plots import plots_of
from training.settings import TRACKING_OFF, TrainingSettings
from training.tracking import tracked_run, tracker_of

log = structlog.get_logger(__name__)


def train(
    model: str,
    until: datetime,
    *,
    settings: Settings,
    overrides: Sequence[str] = (),
    show_progress: bool = True,
    training: TrainingSettings | None = None,
) -> Path:
    """Train ``model`` on the watches before ``until`` and return the path of its bundle.

    Args:
        overrides: ``key=value`` of the model's configuration.
        training: the environment's if ``None``.

    Raises:
        BadInputError: unknown model or key, or no data before ``until``; the text says what is allowed.
        TrainingDivergedError: the loss is no number any more.
    """
    config = parse_overrides(find_model(model).Config, overrides)
    if "rule" not in config.model_fields_set:
        config = config.model_copy(update={"rule": settings.rule})
    return _train(
        model,
        config,
        Lake(settings),
        until,
        settings=settings,
        training=training,
        show_progress=show_progress,
    )


def repeat(
    bundle_path: Path,
    *,
    settings: Settings,
    show_progress: bool = True,
    training: TrainingSettings | None = None,
) -> Path:
    """Train what a bundle was trained from: its model, configuration, cut and table versions.

    The same code, seed and number of threads give the same vectors.

    Raises:
        BadInputError: a table version is gone from the lake, see ``features/housekeeping.py``; or users
            were erased that the bundle was trained on, see ``features/forget``.
    """
    manifest = open_bundle(bundle_path).manifest
    if not manifest.repeatable:
        raise BadInputError(
            f"{bundle_path} cannot be repeated since {manifest.since} ({manifest.reason}): rows that it was "
            f"trained on were deleted; train a new one with `facet train {manifest.model} --until DAY`"
        )
    config = find_model(manifest.model).Config.model_validate(manifest.config)
    lake = Lake(settings, manifest.data.snapshots)
    until = manifest.data.until
    return _train(
        manifest.model, config, lake, until, settings=settings, training=training, show_progress=show_progress
    )


@beside_others
def _train(
    model: str,
    config: ModelConfig,
    lake: Lake,
    until: datetime,
    *,
    settings: Settings,
    training: TrainingSettings | None,
    show_progress: bool,
) -> Path:
    training = training or TrainingSettings()
    started = time.perf_counter()
    group = _group(training)
    if not group.is_first:
        training = training.model_copy(update={"mlflow_uri": TRACKING_OFF})
    with tracked_run(model, settings=settings, training=training) as tracker:
        tracker.log_params(_flat(config) | {"until": until.isoformat()})
        run = Run(
            lake,
            until,
            tracker,
            bundles=settings.bundles,
            num_threads=training.train_threads,
            checkpoints=settings.root / "checkpoints",
            checkpoint_seconds=training.train_checkpoint_seconds,
            show_progress=show_progress,
            group=group,
        )
        path = build_bundle(model, config, run, settings.bundles)
        seconds = time.perf_counter() - started
        tracker.log_metrics({"seconds": seconds})
        tracker.set_tag("bundle", str(path))
        tracker.register(path)
    log.info("bundle written", model=model, bundle=str(path), seconds=round(seconds, 1))
    return path


def _group(training: TrainingSettings) -> Group:
    """This process alone, or among those that ``torchrun`` started."""
    if training.num_processes == 1:
        return Group()
    from training.distributed import join_group

    return join_group()


def train_and_judge(
    model: str,
    day: str,
    *,
    settings: Settings,
    champion: Path | None,
    overrides: Sequence[str] = (),
    training: TrainingSettings | None = None,
) -> Path:
    """Train on everything before the UTC ``day`` and let the gate judge the bundle on that day.

    Args:
        champion: bundle that serves now; ``None`` compares with popularity.

    Raises:
        GateRefusedError: the bundle must not be released; it stays on disk, the text says why.
    """
    start, end = start_of(day), end_of(day)
    bundle = train(
        model, start, settings=settings, overrides=overrides, show_progress=False, training=training
    )
    verdict = judge(bundle, champion, start, end, settings=settings)
    _track(bundle, verdict, settings, training or TrainingSettings())
    if not verdict.passed:
        raise GateRefusedError(f"{bundle} is not released: {'; '.join(verdict.reasons)}")
    return bundle


def _track(bundle: Path, verdict: Verdict, settings: Settings, training: TrainingSettings) -> None:
    """Put what the gate found beside the run's own figures."""
    tracker = tracker_of(bundle, settings=settings, training=training)
    tracker.set_tag("gate", "passed" if verdict.passed else "; ".join(verdict.reasons))
    tracker.log_metrics({f"gate_{name}": value for name, value in verdict.candidate.items()})
    tracker.log_table(comparison(verdict), "gate")
    if verdict.judgement is not None:
        for name, figure in plots_of(open_bundle(bundle), verdict.judgement):
            tracker.log_figure(figure, name)


def _flat(config: ModelConfig) -> dict[str, object]:
    """Nested keys joined by dots, as overrides are written."""
    flat: dict[str, object] = {}
    for key, value in config.model_dump(mode="json").items():
        nested = value.items() if isinstance(value, dict) else ()
        flat |= {f"{key}.{inner}": v for inner, v in nested} or {key: value}
    return flat
