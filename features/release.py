"""The release registry as everyone reads it; ``serving/release.py`` is the only writer.

A release pins one bundle per channel and the Milvus collection built from each. The pointer is one row:
the only meaning of "current".
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from features.settings import Settings

METADATA: Final = sa.MetaData()
RELEASES: Final = sa.Table(
    "releases",
    METADATA,
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),  # building, verified, live, retired, failed, dropped
    sa.Column("bundles", sa.JSON, nullable=False),  # channel -> "<model>/<version>"
    sa.Column("collections", sa.JSON, nullable=False),  # channel -> Milvus collection
    sa.Column("created_at", sa.DateTime, nullable=False),  # UTC
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text),
)
POINTER: Final = sa.Table(
    "release_pointer",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),  # always 1
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),  # grows by one with every flip
)


@dataclass(frozen=True, slots=True)
class Release:
    """One row of the registry."""

    version: str
    state: str
    bundles: dict[str, str]
    collections: dict[str, str]
    created_at: datetime
    revision: int
    """Revision of the pointer when it was read; a flip that saw another one is refused."""

    def bundle_path(self, settings: Settings, channel: str) -> Path:
        """Folder of the bundle behind ``channel``."""
        return settings.bundles / self.bundles[channel]


def open_registry(settings: Settings) -> sa.Engine:
    """Connect to the registry and create its tables where they are missing."""
    if settings.database.startswith("sqlite"):
        settings.root.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(settings.database)
    METADATA.create_all(engine)
    return engine


def current_release(engine: sa.Engine) -> Release | None:
    """The release that serves now, or ``None`` before the first publish."""
    query = sa.select(RELEASES, POINTER.c.revision).join(POINTER, POINTER.c.version == RELEASES.c.version)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Release(row.version, row.state, row.bundles, row.collections, row.created_at, row.revision)
