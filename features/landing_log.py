"""Rows that arrive one by one, made durable and handed to the landing area in closed files.

``append`` returns when the rows are on disk: whoever was told so loses nothing when the process is killed.
Threads that append at the same time share one fsync. A file is open for at most a minute or so and never
past midnight (UTC); only then does it enter the landing area, whole, so that ingest never reads half a file.
Each process writes files of its own, locked while it lives; what a killed one leaves is handed over by the
next process that looks, without a line that was cut off (nobody was told that it was stored).
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

import structlog

from features.disk import FullDiskExplained, sync_folder
from features.errors import DiskFullError, RetryLaterError
from features.landing import Landing
from features.settings import Settings

log = structlog.get_logger(__name__)

MAX_SECONDS: Final = 60.0
"""A file is closed at this age."""
MAX_BYTES: Final = 64 * 2**20
"""A file is closed at this size."""
LEFT_SECONDS: Final = 3600.0
"""A hidden file of this age was left by a process that was killed before it locked it; no row is in it."""
SUFFIX: Final = ".jsonl"


def _now() -> datetime:
    return datetime.now(UTC)


class _OpenFile:
    """One file of this process, from its first row until it is closed; locked all the time.

    Args:
        folder: of the spool; the file shows there once it is locked.
    """

    def __init__(self, folder: Path, day: str) -> None:
        self.day = day
        self.born = time.monotonic()
        self.size = 0
        self._synced = 0
        self._is_lost = False
        self._syncing = threading.Lock()
        name = f"{day}.{uuid4().hex}{SUFFIX}"
        folder.mkdir(parents=True, exist_ok=True)
        hidden = folder / f".{name}"
        self._file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        hidden.rename(folder / name)
        sync_folder(folder)

    def write(self, lines: bytes) -> int:
        """Append and return the size afterwards, to wait for with ``sync``; one caller at a time."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            self._is_lost = True  # what others append before it is given up stands behind half a row
            raise
        self.size += len(lines)
        return self.size

    def sync(self, size: int) -> None:
        """Return when the first ``size`` bytes are on disk."""
        with self._syncing:
            if self._is_lost:
                raise OSError(errno.EIO, "another write to the same file failed")
            if self._synced < size:
                written = self.size
                try:
                    os.fsync(self._file)
                except OSError:
                    self._is_lost = True  # Linux drops the pages and says so once: the next fsync succeeds
                    raise
                self._synced = written

    def close(self) -> None:
        """Everything is on disk, and anybody may hand the file over."""
        self.sync(self.size)
        os.close(self._file)

    def abandon(self) -> None:
        """Let go after an error: of what is not on disk yet, nobody was told that it is."""
        with self._syncing:
            self._is_lost = True
            os.close(self._file)


class LandingLog:
    """Appends rows of one table to files that end up in the landing area.

    Args:
        table: ``watches`` or ``exposures``.
        clock: tells the landing day, which is the UTC day of arrival.
    """

    def __init__(
        self,
        settings: Settings,
        table: str,
        *,
        max_seconds: float = MAX_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._settings = settings
        self._landing = Landing(settings)
        self._table = table
        self._folder = settings.spool / table
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._writing = threading.Lock()
        self._open: _OpenFile | None = None

    def append(self, rows: Sequence[str]) -> None:
        """Store rows; they are on disk when this returns, or none of them counts.

        Args:
            rows: one JSON object each, without line ends.

        Raises:
            DiskFullError: no space is left.
            RetryLaterError: the disk failed; append again.
        """
        lines = "".join(f"{row}\n" for row in rows).encode()
        file: _OpenFile | None = None
        try:
            with FullDiskExplained(self._settings):
                with self._writing:
                    file = self._current()
                    size = file.write(lines)
                file.sync(size)
        except (OSError, DiskFullError) as error:
            self._abandon(file)
            if isinstance(error, DiskFullError):
                raise
            raise RetryLaterError(f"{self._folder} cannot be written: {error}; send again") from error

    def hand_over(self, *, everything: bool = False) -> list[str]:
        """Close the file of this process if it is due, and move all closed files to the landing area.

        Files of processes that were killed are among them. To be called every second or so.

        Args:
            everything: close the file even if it is not due; for the end of the process.

        Returns:
            Names in the landing area, ``<table>/<day>/<file>``. What cannot be moved is logged, stays, and is
            moved by a later call.
        """
        try:
            with self._writing:
                self._close_if(lambda file: everything or self._is_due(file))
        except OSError as error:
            self._abandon()
            log.warning("file not closed in order", folder=str(self._folder), error=str(error))
        moved = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                moved += self._hand_over(path)
            except OSError as error:
                log.warning("rows not landed yet", file=str(path), error=str(error))
        return moved

    def _hand_over(self, path: Path) -> list[str]:
        """The name that the file has now, or nothing if it is not to be moved."""
        if (file := _claim(path)) is None:
            return []
        with file:
            if not _cut_to_whole_lines(file):
                path.unlink()
                return []
            day, _, rest = path.name.partition(".")
            name = f"{self._table}/{day}/{rest}"
            self._landing.take(path, name)
        log.info("rows landed", file=name)
        return [name]

    def _current(self) -> _OpenFile:
        self._close_if(self._is_due)
        if self._open is None:
            self._open = _OpenFile(self._folder, self._today())
        return self._open

    def _close_if(self, is_due: Callable[[_OpenFile], bool]) -> None:
        if self._open and is_due(self._open):
            self._open.close()
            self._open = None

    def _abandon(self, failed: _OpenFile | None = None) -> None:
        """Give up the file that ``failed``, unless another thread has opened the next one already."""
        with self._writing:
            if self._open and failed in (None, self._open):
                self._open.abandon()
                self._open = None

    def _is_due(self, file: _OpenFile) -> bool:
        age = time.monotonic() - file.born
        return age >= self._max_seconds or file.size >= self._max_bytes or file.day != self._today()

    def _today(self) -> str:
        return self._clock().date().isoformat()


def _claim(path: Path) -> BinaryIO | None:
    """The file with its lock, or ``None`` where a process still writes it or another hands it over."""
    try:
        if path.name.startswith(".") and time.time() - path.stat().st_mtime < LEFT_SECONDS:
            return None  # its process is about to lock it
        file = path.open("r+b")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if path.exists():
        return file
    file.close()  # moved between the two looks
    return None


def _cut_to_whole_lines(file: BinaryIO) -> int:
    """Remove a last line that was cut off; the bytes that are left."""
    size = file.read().rfind(b"\n") + 1
    file.truncate(size)
    return size
