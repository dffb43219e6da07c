"""A full disk: the error says what to do, what was there stays, and with more space the call is green."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from features.disk import FullDiskExplained, is_full
from features.errors import BadInputError, DiskFullError
from features.ingest import commit, ingest, stage
from features.lake import Lake
from features.materialize import materialize
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.snapshots import snapshot_days
from features.validation import validate
from tests.features.landing_rows import DAY, land, land_day, watch

NEXT_DAY = "2026-03-03"
ROOT = Path(__file__).parents[2]
MAX_FILE_BYTES = 40_000
BODIES = {
    "stage": "from features.ingest import stage; stage([DAY, NEXT_DAY])",
    "commit": "from features.serial_commit import commit_in_turn; commit_in_turn(FOLDER)",
    "materialize": "from features.materialize import materialize; materialize([DAY, NEXT_DAY])",
}


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(27, "File too large"), True),
        (OSError(13, "Permission denied"), False),
        (RuntimeError("Generic LocalFileSystem error: No space left on device (os error 28)"), True),
        (RuntimeError("database or disk is full"), True),
        (BadInputError("line 3: 'no space left on device'"), False),
    ],
)
def test_a_full_disk_is_known_by_code_or_text(error: Exception, full: bool) -> None:
    assert is_full(error) == full


def test_only_a_full_disk_is_explained(settings: Settings) -> None:
    with pytest.raises(DiskFullError, match=r"GB free.*run again"), FullDiskExplained(settings):
        raise OSError(28, "No space left on device")
    with pytest.raises(ZeroDivisionError), FullDiskExplained(settings):
        raise ZeroDivisionError


def checksums(settings: Settings) -> dict[str, str]:
    lake = Lake(settings)
    tables = (WATCHES, VIDEOS, USERS)
    return {f"{table}/{day}": lake.checksum(table, day) for table in tables for day in lake.day_counts(table)}


def two_days(settings: Settings, step: str) -> None:
    """The first day is ingested (and in the features); then it gets late events, and the next day lands."""
    many = range(4000)
    ids = random.Random(7)  # they do not compress: a day has more than MAX_FILE_BYTES in any format
    land_day(settings, [watch(f"{ids.getrandbits(128):x}", i % 24, user_id=i % 900) for i in many])
    ingest([DAY], settings=settings)
    if step == "materialize":
        materialize([DAY], settings=settings)
    late = [watch(f"l{i}") for i in range(100)]
    today = [watch(f"{ids.getrandbits(128):x}", i % 24, day=NEXT_DAY, user_id=i % 900) for i in many]
    land(settings, WATCHES, late + today, day=NEXT_DAY)
    for table in (VIDEOS, USERS):
        shutil.copytree(settings.landing / table / DAY, settings.landing / table / NEXT_DAY)


def with_little_space(body: str, settings: Settings, folder: str) -> subprocess.CompletedProcess[str]:
    """Run ``body`` where no file may grow beyond ``MAX_FILE_BYTES``, as a task or a command does."""
    program = f"""
import resource, sys
from features.disk import FullDiskExplained
from features.errors import DiskFullError
DAY, NEXT_DAY, FOLDER = {DAY!r}, {NEXT_DAY!r}, {folder!r}
resource.setrlimit(resource.RLIMIT_FSIZE, ({MAX_FILE_BYTES}, {MAX_FILE_BYTES}))
try:
    with FullDiskExplained():
        {body}
except DiskFullError as error:
    sys.exit(f"DiskFullError: {{error}}")
"""
    environment = os.environ | {"FACET_HOME": str(settings.home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("step", BODIES)
def test_a_step_without_space_says_so_breaks_nothing_and_is_green_later(tmp_path: Path, step: str) -> None:
    settings = Settings(home=tmp_path / "home")
    two_days(settings, step)
    undisturbed = Settings(home=tmp_path / "undisturbed")
    shutil.copytree(settings.home, undisturbed.home)
    folder = str(settings.staging / f"{DAY}..{NEXT_DAY}")
    steps: dict[str, Callable[[Settings, str], object]] = {
        "stage": lambda home, _: validate(stage([DAY, NEXT_DAY], settings=home), settings=home),
        "commit": lambda home, place: commit(place, settings=home),
        "materialize": lambda home, _: materialize([DAY, NEXT_DAY], settings=home),
    }
    names = list(steps)[: 3 if step == "materialize" else 2]
    for name in names[: names.index(step)]:
        steps[name](settings, folder)
    before, days = checksums(settings), snapshot_days(settings)

    done = with_little_space(BODIES[step], settings, folder)
    assert "DiskFullError: no space left below" in done.stderr, done.stderr[-3000:]
    assert "run again" in done.stderr
    assert done.returncode == 1
    after = checksums(settings)
    assert {name: after[name] for name in before} == before
    assert set(days) <= set(snapshot_days(settings))

    for name in names[names.index(step) :]:
        steps[name](settings, folder)
    for name in names:
        steps[name](undisturbed, folder.replace("/home/", "/undisturbed/"))
    assert checksums(settings) == checksums(undisturbed)
    assert snapshot_days(settings) == snapshot_days(undisturbed)
