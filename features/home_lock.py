"""Who uses FACET_HOME now: many may write beside each other, an erasure must be alone.

Whatever carries rows of users from one place to another (ingest, import, materialize, training) holds the
lock together with the others. An erasure holds it alone: nobody may bring back what it has just removed.
The lock belongs to open files, so a killed process holds nothing.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from features.errors import RetryLaterError
from features.settings import Settings

LOCK: Final = ".erasure.lock"
P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def shared_home(settings: Settings) -> Iterator[None]:
    """Held while rows of users are read and written.

    Raises:
        RetryLaterError: users are being erased.
    """
    with _held(settings, fcntl.LOCK_SH, "users are being erased (`facet forget`); run again when it is done"):
        yield


@contextmanager
def own_home(settings: Settings) -> Iterator[None]:
    """Held while users are erased.

    Raises:
        RetryLaterError: somebody ingests, imports, materializes, trains or erases.
    """
    busy = "an ingest, import, materialize, training or erasure is running; run again when it is done"
    with _held(settings, fcntl.LOCK_EX, busy):
        yield


def beside_others(call: Callable[P, R]) -> Callable[P, R]:
    """Run ``call`` under ``shared_home`` of its keyword ``settings``, or of the environment's."""

    @wraps(call)
    def locked(*args: P.args, **kwargs: P.kwargs) -> R:
        given = kwargs.get("settings")
        with shared_home(given if isinstance(given, Settings) else Settings()):
            return call(*args, **kwargs)

    return locked


@contextmanager
def _held(settings: Settings, kind: int, busy: str) -> Iterator[None]:
    settings.root.mkdir(parents=True, exist_ok=True)
    with (settings.root / LOCK).open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RetryLaterError(f"{settings.root}: {busy}") from error
        yield
