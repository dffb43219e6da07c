"""Where logs arrive: ``<landing>/<table>/<UTC day>/<any name>.{jsonl,csv,parquet}[.gz|.zst]``.

The landing area is a folder or, by ``FACET_LANDING_URI``, any store that fsspec can list; files of a store
are copied to this machine before they are read. A stamp tells whether a file is still the one that it was.
"""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from features.disk import sync_folder
from features.errors import BadInputError, RetryLaterError
from features.schema import EXPOSURES, USERS, VIDEOS, WATCHES
from features.settings import Settings

TABLES: Final = (VIDEOS, USERS, EXPOSURES, WATCHES)
FORMATS: Final = (".jsonl", ".csv", ".parquet")
COMPLETE: Final = ".complete"
"""An empty file that a producer may write last: the day is ingested without waiting for midnight."""
PACKINGS: Final = {".gz": "gzip", ".zst": "zstd"}
"""Ending to the name of the compression."""


@dataclass(frozen=True, slots=True)
class LandingFile:
    """One file that can be read now."""

    name: str
    """``<table>/<day>/<file>``, the same wherever the landing area lies."""
    path: Path
    """The file, or the copy of one that lies in a store."""
    stamp: str
    """Differs if the file was replaced: size and time of its last change, or the store's checksum."""

    @property
    def packing(self) -> str | None:
        """The name of the compression, or ``None``."""
        return PACKINGS.get(self.path.suffix)

    @property
    def format(self) -> str:
        """The ending that names the format: ``.jsonl`` for ``a.jsonl.gz``."""
        name = self.path.name
        return Path(name.removesuffix(self.path.suffix) if self.packing else name).suffix


class Landing:
    """The landing area of one ``Settings``.

    Args:
        copies: folder for the copies of files that lie in a store.

    Raises:
        BadInputError: nobody here can read ``FACET_LANDING_URI``.
    """

    def __init__(self, settings: Settings, copies: Path | None = None) -> None:
        self._place = settings.landing_uri or str(settings.landing)
        try:
            self._store, self._root = fsspec.url_to_fs(self._place)
        except (ImportError, ValueError) as error:
            raise BadInputError(f"FACET_LANDING_URI={self._place}: {error}; install its package") from error
        self._copies = copies or settings.staging / "landing"

    def folder(self, table: str, day: str) -> str:
        """How people find the files of one table and day."""
        return f"{self._place}/{table}/{day}"

    def days(self) -> list[str]:
        """Days with a folder of any table, oldest first."""
        found = {Path(str(place)).name for table in TABLES for place in self._list(table, "directory")}
        return sorted(day for day in found if not day.startswith("."))

    def files(self, table: str, day: str) -> list[LandingFile]:
        """Files of one folder in the order of their names; hidden files are still being written.

        Raises:
            BadInputError: a file has an ending that no reader knows.
            RetryLaterError: the store fails.
        """
        found = []
        for place in sorted(self._list(f"{table}/{day}", "file")):
            name = Path(place).name
            if name.startswith("."):
                continue
            file = LandingFile(f"{table}/{day}/{name}", self._path(place), self._stamp(place))
            if file.format not in FORMATS:
                raise BadInputError(
                    f"{place} is none of {', '.join(FORMATS)} (or one of them with {', '.join(PACKINGS)}); "
                    "remove it"
                )
            found.append(file)
        return found

    def is_complete(self, day: str) -> bool:
        """Whether its producer has said that the day is complete, by ``watches/<day>/.complete``."""
        return bool(self._store.exists(f"{self._root}/{WATCHES}/{day}/{COMPLETE}"))

    def stamps(self, day: str) -> dict[str, str]:
        """Name to stamp of every file of one day, of all tables; nothing is copied."""
        return {file.name: file.stamp for table in TABLES for file in self.files(table, day)}

    def fetch(self, file: LandingFile) -> LandingFile:
        """Copy a file of a store to this machine; a local file stays where it is.

        Raises:
            RetryLaterError: the store fails, or the file was replaced after it was listed.
        """
        if isinstance(self._store, LocalFileSystem):
            return file
        place = f"{self._root}/{file.name}"
        file.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._store.get_file(place, str(file.path))
        except OSError as error:
            raise RetryLaterError(f"{place} cannot be copied: {error}; run again") from error
        if self._stamp(place) != file.stamp:
            raise RetryLaterError(f"{place} was replaced while it was copied; run again")
        return file

    def write(self, name: str, content: bytes) -> None:
        """Put a file into the landing area, whole or not at all; it is on disk when this returns.

        Args:
            name: as that of a ``LandingFile``.
        """
        place = f"{self._root}/{name}"
        if not isinstance(self._store, LocalFileSystem):
            self._store.pipe_file(place, content)
            return
        folder, _, file = place.rpartition("/")
        self._store.makedirs(folder, exist_ok=True)
        hidden = Path(folder) / f".{file}"
        with hidden.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        hidden.replace(place)
        sync_folder(hidden.parent)

    def take(self, path: Path, name: str) -> None:
        """Move a local file into the landing area, whole or not at all.

        Args:
            name: as that of a ``LandingFile``.
        """
        if isinstance(self._store, LocalFileSystem):
            place = Path(self._root) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.replace(path, place)
            except OSError as error:
                if error.errno != errno.EXDEV:  # on another filesystem it is copied
                    raise
            else:
                sync_folder(place.parent)
                return
        self.write(name, path.read_bytes())
        path.unlink()

    def replace(self, file: LandingFile, draft: Path) -> str:
        """Put ``draft`` in the place of a file and return its stamp; a local file keeps its time of change.

        Raises:
            RetryLaterError: the file was replaced by somebody else meanwhile; ``draft`` is gone.
        """
        place = f"{self._root}/{file.name}"
        if self._stamp(place) != file.stamp:
            draft.unlink()
            raise RetryLaterError(f"{place} was replaced while it was rewritten; run again")
        if isinstance(self._store, LocalFileSystem):
            facts = Path(place).stat()
            os.utime(draft, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            os.replace(draft, place)
        else:
            self._store.put_file(str(draft), place)
            draft.unlink()
        return self._stamp(place)

    def remove(self, name: str) -> None:
        """Take a file out of the landing area."""
        self._store.rm_file(f"{self._root}/{name}")

    def forget_copies(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._copies, ignore_errors=True)

    def _list(self, folder: str, kind: str) -> list[str]:
        try:
            entries = self._store.ls(f"{self._root}/{folder}", detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RetryLaterError(f"{self._place}/{folder} cannot be listed: {error}; run again") from error
        return [str(entry["name"]) for entry in entries if entry["type"] == kind]

    def _path(self, place: str) -> Path:
        if isinstance(self._store, LocalFileSystem):
            return Path(place)
        return self._copies / Path(place).relative_to(self._root)

    def _stamp(self, place: str) -> str:
        if isinstance(self._store, LocalFileSystem):
            facts = Path(place).stat()
            return f"{facts.st_size}-{facts.st_mtime_ns}"
        return str(self._store.ukey(place))
