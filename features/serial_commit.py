"""Commit one after the other: days are staged at once, and late events make them meet in one partition.

Of two runs that rewrite it, the second was staged upon rows that are gone. It is staged and validated again
while it holds the lock, so nobody can overtake it a second time.
"""

from pathlib import Path
from typing import Final

import structlog
from filelock import FileLock, Timeout

from features.days import parse_days
from features.errors import RetryLaterError, StaleStageError
from features.ingest import commit, stage
from features.landing import Landing
from features.settings import Settings
from features.stage import Stage
from features.validation import validate

log = structlog.get_logger(__name__)

LOCK: Final = ".commit.lock"
LOCK_SECONDS: Final = 900.0
"""Longer than a stage, a validation and a commit of ten million rows."""


def commit_in_turn(
    folder: str, *, settings: Settings | None = None, lock_seconds: float = LOCK_SECONDS
) -> list[str]:
    """Commit a validated stage, again staged if others rewrote its days meanwhile; returns the landing days.

    Raises:
        InvalidDataError: the days do not pass validation with the rows that others brought.
        RetryLaterError: another commit holds the lock for longer than ``lock_seconds``.
    """
    settings = settings or Settings()
    settings.lake.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.lake / LOCK, timeout=lock_seconds):
            return _commit(folder, settings)
    except Timeout as error:
        raise RetryLaterError(
            f"another ingest commits for {lock_seconds:.0f} s already; run again"
        ) from error


def _commit(folder: str, settings: Settings) -> list[str]:
    try:
        return commit(folder, settings=settings)
    except StaleStageError as error:
        days = _days_of(Path(folder), settings)
        log.warning("stage is stale; its days are staged again", days=days, reason=str(error))
        return commit(validate(stage(days, settings=settings), settings=settings), settings=settings)


def _days_of(folder: Path, settings: Settings) -> list[str]:
    """The landing days of a stage; of one that somebody cleared, those of its name that lie in landing."""
    try:
        return Stage.open(folder).landing_days
    except StaleStageError:
        landed = set(Landing(settings).days())
        return [day for day in parse_days(folder.name) if day in landed]
