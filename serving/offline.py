"""Videos that must not be shown any more, from one call on, whatever release is live.

The list is a table of the release registry's database. Every serving process reads it each second or two
and hides what is on it; a restart, a flip and a rollback change nothing. The catalogue's own ``is_online``
follows with the next snapshot of the videos, after which the entry may be taken off the list.

Shape letters: N videos.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import sqlalchemy as sa
import structlog
from jaxtyping import Int64
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from features.release import METADATA, open_registry, registry_time
from features.settings import Settings

log = structlog.get_logger(__name__)

OFFLINE = sa.Table(
    "offline_videos",
    METADATA,
    sa.Column("video_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("since", sa.DateTime, nullable=False),  # UTC
)

INSERTS: Final[dict[str, Callable[[sa.Table], sqlite.Insert | postgresql.Insert]]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""By database: what inserts a row unless it is there, whoever else inserts it at the same time."""


class OfflineVideos:
    """The list, and what this process knows of it.

    The database is opened by the first look: a process starts without it, too.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ids: Int64[np.ndarray, " N"] = np.empty(0, dtype=np.int64)

    @property
    def ids(self) -> Int64[np.ndarray, " N"]:
        """Ids as they were when this process looked last, ascending."""
        return self._ids

    def read(self) -> Int64[np.ndarray, " N"]:
        """Ids as they are now."""
        self.refresh()
        return self._ids

    def hide(self, video_ids: Sequence[int]) -> None:
        """Put videos on the list; those that are on it stay as they are. This process knows at once."""
        now = registry_time()
        # In one order everywhere, so that two of these never wait for each other.
        rows = [{"video_id": each, "since": now} for each in sorted(set(video_ids))]
        with self._engine.begin() as connection:
            insert = INSERTS[connection.dialect.name](OFFLINE).on_conflict_do_nothing()
            connection.execute(insert, rows)
        self._read()

    def show(self, video_ids: Sequence[int]) -> None:
        """Take videos off the list."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(OFFLINE).where(OFFLINE.c.video_id.in_(video_ids)))
        self._read()

    def refresh(self) -> None:
        """Read the list again; if the database is away, what was known stays."""
        try:
            self._read()
        except (SQLAlchemyError, OSError) as error:
            log.warning("list of offline videos not read", error=str(error))

    @cached_property
    def _engine(self) -> sa.Engine:
        return open_registry(self._settings)

    def _read(self) -> None:
        with self._engine.connect() as connection:
            ids = connection.scalars(sa.select(OFFLINE.c.video_id).order_by(OFFLINE.c.video_id)).all()
        self._ids = np.array(ids, dtype=np.int64)
