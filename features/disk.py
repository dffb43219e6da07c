"""A full disk, however the library that met it says so, as one error that says what to do."""

import errno
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final

from features.errors import DiskFullError, PermanentError
from features.settings import Settings

CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
TEXTS: Final = (
    "no space left on device",
    "disk quota exceeded",
    "file too large",
    "disk is full",
    "max_temp_directory_size",
)
"""How DuckDB, Delta Lake, Arrow and SQLite put it, in small letters."""


class FullDiskExplained:
    """Inside, whatever fails for want of space fails with a ``DiskFullError`` that says what to do.

    It looks at errors as they pass, so that no library has to be imported for their classes.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises ``DiskFullError`` in place of ``error`` if there was no space."""
        if error is None or not is_full(error):
            return
        place = _existing((self._settings or Settings()).root)
        free = shutil.disk_usage(place).free / 1e9
        raise DiskFullError(
            f"no space left below {place} ({free:.2f} GB free, or a quota or file size limit is reached): "
            f"{error}. Free space (`facet clean` deletes old table versions and what killed runs left), then "
            "run again; partitions and features that were there are unchanged"
        ) from error


def is_full(error: BaseException) -> bool:
    """Whether ``error`` means that there was no space, by its code or, where libraries drop it, its text."""
    if isinstance(error, PermanentError | DiskFullError):
        return False
    if isinstance(error, OSError) and error.errno in CODES:
        return True
    text = str(error).lower()
    return any(part in text for part in TEXTS)


def sync_folder(folder: Path) -> None:
    """Make names that were created or renamed in ``folder`` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
