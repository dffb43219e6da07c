"""One model trained and written as a bundle, with everything in its manifest that repeats it."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from features.bundle import Manifest, new_version, write_bundle
from training.config import ModelConfig
from training.models import Run, Trained, find_model


def build_bundle(model: str, config: ModelConfig, run: Run, root: Path) -> Path:
    """Train ``model`` and return ``root/<model>/<version>``; nothing is there before it is complete.

    Of several processes the first writes, and all return the same path.

    Raises:
        BadInputError: no data before ``run.until``.
        TrainingDivergedError: the loss is no number any more.
    """
    trained = find_model(model).train(config, run)
    manifest = _manifest(model, config, trained)
    run.tracker.log_metrics(manifest.metrics)
    if run.group.size == 1:
        return write_bundle(root, manifest, trained.write_files)
    from training.distributed import agree

    version = agree(manifest.version, run.group)
    if run.group.is_first:
        write_bundle(root, manifest, trained.write_files)
    agree(version, run.group)  # the others wait here until the bundle is complete
    return root / model / version


def _manifest(model: str, config: ModelConfig, trained: Trained) -> Manifest:
    metrics = {name: value for name, value in (trained.metrics or {}).items() if value is not None}
    return Manifest(
        kind=trained.kind,
        model=model,
        version=new_version(),
        created_at=datetime.now(UTC),
        code_commit=_code_commit(),
        config=config.model_dump(mode="json"),
        rule=config.rule,
        data=trained.source,
        num_videos=trained.num_videos,
        num_interests=trained.num_interests,
        dim=trained.dim,
        history_length=trained.history_length,
        metrics=metrics,
    )


def _code_commit() -> str:
    """Commit of this checkout, ``-dirty`` behind it if files were changed; ``unknown`` outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
