"""One process per home may change collections: who publishes, or brings catalogues to the videos of today."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from features.settings import Settings
from serving.errors import PublishConflictError


@contextmanager
def publisher_lock(settings: Settings) -> Iterator[None]:
    """Held while collections are changed; the kernel lets go when the holder dies.

    Raises:
        PublishConflictError: another process holds it.
    """
    settings.root.mkdir(parents=True, exist_ok=True)
    with (settings.root / "publish.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PublishConflictError(
                f"another publish is running in {settings.root}; wait for it and run again"
            ) from error
        yield
