"""Persistent numbers for text ids: ``ids/<source>/<kind>.parquet`` below FACET_HOME, row i holds id i.

A text keeps its number for ever: rows are only ever added at the end, the file is replaced whole, and one
process at a time holds the kind's lock. So the same log imported again gives the same ids, and two imports
at once never give one number twice. Losing these files means losing what every id in the lake stands for:
back them up with the lake.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog
from filelock import FileLock, Timeout

from features.errors import InvalidDataError, RetryLaterError
from features.settings import Settings

log = structlog.get_logger(__name__)

USER: Final = "user"
VIDEO: Final = "video"
UPLOADER: Final = "uploader"
TAG: Final = "tag"
KINDS: Final = (USER, VIDEO, UPLOADER, TAG)

ERASED: Final = "\x00erased "
"""What stands for a text that was erased, before its number."""
TEXT: Final = "text"
ID: Final = "id"
LOCK_SECONDS: Final = 600.0
"""Numbering 10M new texts takes seconds; a lock held longer belongs to a process that hangs."""
_SCHEMA: Final = pa.schema(
    [pa.field(TEXT, pa.large_string(), nullable=False), pa.field(ID, pa.int64(), nullable=False)]
)


class IdMap:
    """The numbers of one source."""

    def __init__(self, settings: Settings, source: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self._folder = settings.root / "ids" / source
        self._lock_seconds = lock_seconds

    def path(self, kind: str) -> Path:
        """Where the numbers of ``kind`` lie."""
        return self._folder / f"{kind}.parquet"

    def number(self, kind: str, texts: pa.Array | pa.ChunkedArray) -> pa.Table:
        """Distinct ``texts`` with their ids; new texts get the next numbers in the order in which they come.

        Args:
            texts: without nulls; repetitions are fine.

        Raises:
            RetryLaterError: another import held the lock for longer than ``lock_seconds``.
            InvalidDataError: the file does not number its rows 0, 1, 2, ...
        """
        wanted = pc.unique(texts.cast(pa.large_string()))
        if isinstance(wanted, pa.ChunkedArray):
            wanted = wanted.combine_chunks()
        with self._locked(kind):
            known = self._append_unknown(kind, wanted)
        ids = pc.index_in(wanted, value_set=known).cast(pa.int64())  # row number = id
        return pa.table([wanted, ids], schema=_SCHEMA)

    def erase(self, kind: str, ids: Collection[int]) -> int:
        """Replace the texts of ``ids``, whose numbers stay taken; returns how many there were.

        Raises:
            RetryLaterError: an import held the lock for longer than ``lock_seconds``.
        """
        with self._locked(kind):
            texts = self.texts(kind).to_pylist()
            found = [i for i in ids if i < len(texts) and not texts[i].startswith(ERASED)]
            for number in found:
                texts[number] = f"{ERASED}{number}"
            if found:
                columns = [pa.array(texts, pa.large_string()), pa.array(np.arange(len(texts)))]
                _replace(self.path(kind), pa.table(columns, schema=_SCHEMA))
        return len(found)

    def find(self, kind: str, text: str) -> int | None:
        """The number of ``text``, or ``None`` if it has none."""
        row: int = pc.index(self.texts(kind), pa.scalar(text, pa.large_string())).as_py()
        return row if row >= 0 else None

    def texts(self, kind: str) -> pa.LargeStringArray:
        """All known texts; the text of id ``i`` is element ``i``."""
        path = self.path(kind)
        if not path.exists():
            return pa.array([], pa.large_string())
        rows = pq.read_table(path, schema=_SCHEMA)
        if not np.array_equal(rows[ID].to_numpy(), np.arange(len(rows))):
            raise InvalidDataError(f"{path} does not number its rows 0, 1, 2, ...; restore it from a backup")
        return pc.cast(rows[TEXT].combine_chunks(), pa.large_string())

    @contextmanager
    def _locked(self, kind: str) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / f".{kind}.lock", timeout=self._lock_seconds):
                yield
        except Timeout as error:
            raise RetryLaterError(
                f"another import has been numbering {kind} ids of {self._folder.name} for more than "
                f"{self._lock_seconds:.0f} s; run this import again when it is done"
            ) from error

    def _append_unknown(self, kind: str, wanted: pa.LargeStringArray) -> pa.LargeStringArray:
        """Add what is new and return all texts; the caller holds the lock."""
        known = self.texts(kind)
        new = wanted.filter(pc.invert(pc.is_in(wanted, value_set=known)))
        if not len(new):
            return known
        texts = pa.concat_arrays([known, new])
        _replace(self.path(kind), pa.table([texts, pa.array(np.arange(len(texts)))], schema=_SCHEMA))
        log.info("ids added", source=self._folder.name, kind=kind, new=len(new), total=len(texts))
        return texts


def _replace(path: Path, rows: pa.Table) -> None:
    """Readers see the old file or the whole new one, after a power cut too."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        pq.write_table(rows, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
