"""What ``facet doctor`` examines: packages, folders, ports, stores; each finding says what to do."""

import importlib.metadata
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import sqlalchemy as sa

from features.lake import Lake
from features.landing import Landing
from features.release import current_release, open_registry
from features.schema import WATCHES
from features.settings import Settings
from features.snapshots import snapshot_days
from serving.settings import ServingSettings
from serving.stack_settings import StackSettings

PYTHON: Final = (3, 11)
MIN_FREE_GB: Final = 5
"""A demo home takes about 0.5 GB, the environment 2 GB."""
LOCK: Final = Path(__file__).parents[1] / "requirements.lock"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    is_well: bool
    text: str
    is_required: bool = True
    """Whether Facet cannot work without it; the rest describes how far a home has come."""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is changed but an empty file that is written and removed in FACET_HOME."""
    return [
        _python(),
        _packages(),
        _home(settings),
        _disk(settings),
        _registry(settings),
        *_ports(ServingSettings(), StackSettings()),
        *_progress(settings),
    ]


def _python() -> Finding:
    found = f"{sys.version_info.major}.{sys.version_info.minor}"
    is_well = sys.version_info[:2] == PYTHON
    return Finding("python", is_well, found if is_well else f"{found}; run `make install` with Python 3.11")


def _packages() -> Finding:
    if not LOCK.exists():
        return Finding("packages", True, "installed without a lock file", is_required=False)
    pins = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[.*?\])?==(\S+)", LOCK.read_text(), flags=re.MULTILINE)
    wrong = [f"{name}: {_version(name)} instead of {pin}" for name, pin in pins if not _is_at(name, pin)]
    if wrong:
        return Finding("packages", False, f"{'; '.join(wrong[:3])}; run `make install`")
    return Finding("packages", True, f"all {len(pins)} at their locked versions")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_at(name: str, pin: str) -> bool:
    return (_version(name) or "").partition("+")[0] == pin.partition("+")[0]


def _home(settings: Settings) -> Finding:
    probe = settings.root / ".doctor"
    try:
        settings.root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding("FACET_HOME", False, f"{settings.root} cannot be written ({error}); set FACET_HOME")
    return Finding("FACET_HOME", True, str(settings.root))


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.root, *settings.root.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    is_well = free >= MIN_FREE_GB
    return Finding(
        "disk", is_well, f"{free:.0f} GB free" + ("" if is_well else f"; {MIN_FREE_GB} GB are needed")
    )


def _registry(settings: Settings) -> Finding:
    try:
        release = current_release(open_registry(settings))
    except (sa.exc.SQLAlchemyError, OSError) as error:
        first = str(error).splitlines()[0]
        return Finding("release registry", False, f"{first}; check FACET_DATABASE_URL")
    return Finding("release registry", True, f"release {release.version}" if release else "no release yet")


def _ports(serving: ServingSettings, stack: StackSettings) -> Iterator[Finding]:
    milvus = urlsplit(serving.milvus_uri)
    for name, host, port, setting in (
        ("Milvus", milvus.hostname or "127.0.0.1", milvus.port or 19530, "FACET_MILVUS_URI"),
        ("API", serving.host, serving.port, "FACET_PORT"),
        ("Airflow", "127.0.0.1", stack.airflow_port, "FACET_AIRFLOW_PORT"),
        ("MLflow", "127.0.0.1", stack.mlflow_port, "FACET_MLFLOW_PORT"),
        ("Feast UI", "127.0.0.1", stack.feast_port, "FACET_FEAST_PORT"),
    ):
        taken = f"taken: it runs already, or change {setting}" if _listens(host, port) else "free"
        yield Finding(f"port of {name}", True, f"{host}:{port} is {taken}", is_required=False)


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.3):
            return True
    except OSError:
        return False


def _progress(settings: Settings) -> Iterator[Finding]:
    landed = Landing(settings).days()
    curated = list(Lake(settings).day_counts(WATCHES))
    materialized = snapshot_days(settings)
    bundles = [path for path in settings.bundles.glob("*/*") if not path.name.startswith(".")]
    yield _days("landing", landed, "`facet simulate` or `facet import kuairand DIR`")
    yield _days("curated", curated, "`facet ingest A..B`")
    yield _days("materialized", materialized, "`facet materialize DAY`")
    hint = "; `facet train single_activation --until DAY`" if not bundles else ""
    yield Finding("bundles", bool(bundles), f"{len(bundles)}{hint}", is_required=False)


def _days(subject: str, days: list[str], hint: str) -> Finding:
    text = f"{len(days)} days, {days[0]} to {days[-1]}" if days else f"none yet; {hint}"
    return Finding(subject, bool(days), text, is_required=False)
