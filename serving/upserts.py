"""Bring a collection that is there to the videos of today: what differs is upserted, what is gone is deleted.

What the collection holds is asked of the collection itself, so that a run that was killed goes on where it
stopped, one that has nothing to do writes nothing, and rows that an index lost come back. The vector of a
video follows from its attributes and the bundle, so attributes tell whether a row is up to date.

Shape letters: N videos.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from features.bundle import ATTRIBUTES
from features.live_items import VectorTable
from features.schema import VIDEO_ID
from serving.collection import INSERT_ROWS, attribute_rows, row_batches
from serving.milvus import MilvusConnection

OnBatch = Callable[[], None]
READ_ROWS: Final = 16_384
"""Most rows that Milvus hands out at once."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What one collection needed."""

    num_rows: int
    """That it holds now."""
    num_upserted: int
    num_deleted: int


def nothing_to_do() -> None:
    """After a batch."""


def sync_collection(
    connection: MilvusConnection,
    name: str,
    videos: VectorTable,
    *,
    timeout_seconds: float,
    on_batch: OnBatch = nothing_to_do,
) -> Synced:
    """Let the loaded collection ``name`` hold exactly ``videos``.

    Args:
        on_batch: called when a batch is written.

    Raises:
        IndexUnavailableError: Milvus did not answer; run again.
    """
    stored = dict(_stored(connection, name, timeout_seconds))
    ids = videos.video_ids.tolist()
    differs = np.fromiter(
        (stored.get(video_id) != own for video_id, own in zip(ids, _wanted(videos), strict=True)), dtype=bool
    )
    gone = sorted(stored.keys() - set(ids))
    with connection.translating(f"upserting into {name!r}") as client:
        for rows in row_batches(videos, np.flatnonzero(differs)):
            client.upsert(name, rows, timeout=timeout_seconds)
            on_batch()
        for start in range(0, len(gone), INSERT_ROWS):
            client.delete(name, ids=gone[start : start + INSERT_ROWS], timeout=timeout_seconds)
            on_batch()
        if gone or differs.any():
            client.flush(name, timeout=timeout_seconds)
    return Synced(len(ids), int(differs.sum()), len(gone))


def _stored(connection: MilvusConnection, name: str, timeout_seconds: float) -> Iterator[tuple[int, int]]:
    """Id and fingerprint of every row."""
    with connection.translating(f"reading {name!r}") as client:
        pages = client.query_iterator(
            name, batch_size=READ_ROWS, output_fields=[VIDEO_ID, *ATTRIBUTES], timeout=timeout_seconds
        )
        try:
            while rows := pages.next():
                yield from ((row[VIDEO_ID], _fingerprint(row)) for row in rows)
        finally:
            pages.close()


def _wanted(videos: VectorTable) -> Iterator[int]:
    for start in range(0, len(videos.video_ids), READ_ROWS):
        yield from map(_fingerprint, attribute_rows(videos.items.slice(start, READ_ROWS)))


def _fingerprint(row: dict[str, Any]) -> int:
    values = (row[name] for name in ATTRIBUTES)
    return hash(
        tuple(tuple(value) if not isinstance(value, str | int | float) else value for value in values)
    )
