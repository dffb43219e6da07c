"""What may go: table versions that no bundle needs, stages and states of runs that nobody will continue."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from features.bundle import MANIFEST, Manifest
from features.lake import PARTITION, Lake
from features.log_table import log_table
from features.settings import Settings
from features.stage import COMMITTED_FILE
from features.task_metrics import recorded

SECONDS_PER_DAY: Final = 86_400
KEEP_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was deleted."""

    data_files: int
    """Of the curated tables."""
    stages: int
    checkpoints: int


@recorded("clean")
def clean(*, settings: Settings | None = None, keep_days: int = KEEP_DAYS) -> Cleaned:
    """Delete what is older than ``keep_days`` days and that nothing refers to.

    The table versions that a bundle was trained on stay as long as the bundle does, so that its training can
    be repeated. Running tasks are safe: they touch their files, and stages and checkpoints go by age.
    """
    settings = settings or Settings()
    lake = Lake(settings)
    needed: dict[str, set[int]] = {table: set() for table in PARTITION}
    for manifest in _manifests(settings):
        for table, version in manifest.data.snapshots.items():
            needed[table].add(version)
    data_files = [name for table in PARTITION for name in lake.clean(table, keep_days, needed[table])]
    stages = [
        path
        for path in settings.staging.glob("*")
        if _is_old(path, keep_days) or (path / COMMITTED_FILE).exists()
    ]
    for path in stages:
        shutil.rmtree(path, ignore_errors=True)
    checkpoints = [path for path in (settings.root / "checkpoints").glob("*") if _is_old(path, keep_days)]
    for path in checkpoints:
        path.unlink(missing_ok=True)
    cleaned = Cleaned(len(data_files), len(stages), len(checkpoints))
    log_table("deleted", [{"what": name, "number": n} for name, n in asdict(cleaned).items()])
    return cleaned


def _manifests(settings: Settings) -> Iterator[Manifest]:
    for path in sorted(settings.bundles.glob(f"*/*/{MANIFEST}")):
        manifest = Manifest.model_validate_json(path.read_text())
        if manifest.repeatable and not path.parent.name.startswith("."):
            yield manifest


def _is_old(path: Path, days: int) -> bool:
    newest = max((inner.stat().st_mtime for inner in path.rglob("*")), default=path.stat().st_mtime)
    return time.time() - newest > days * SECONDS_PER_DAY
