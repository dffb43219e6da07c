"""The release registry as everyone reads it; ``serving/release.py`` is the only writer.

A release pins one bundle per channel, the Milvus collection built from each that has vectors, and how the
channels are merged. The pointer is one row: the only meaning of "current".
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from features.merge_config import MergeConfig
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
    sa.Column("merge_config", sa.JSON),  # null in releases of 0.1: the defaults
    sa.Column("replaced", sa.String(64)),  # what was live when it was published; null: nothing, or not noted
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
    merge: MergeConfig = field(default_factory=MergeConfig)

    def bundle_path(self, settings: Settings, channel: str) -> Path:
        """Folder of the bundle behind ``channel``."""
        return settings.bundles / self.bundles[channel]


def registry_time() -> datetime:
    """Now, as the registry's tables hold it: UTC without a zone, which SQLite would drop."""
    return datetime.now(UTC).replace(tzinfo=None)


def open_registry(settings: Settings) -> sa.Engine:
    """Connect to the registry and create what is missing: tables, and columns that older ones lack."""
    if settings.database.startswith("sqlite"):
        settings.root.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(settings.database)
    for table in METADATA.sorted_tables:
        _unless_another_did(partial(_has_table, engine, table), partial(table.create, engine))
        for column in _missing_columns(engine, table):
            _unless_another_did(partial(_has_column, engine, column), partial(_add_column, engine, column))
    return engine


def current_release(engine: sa.Engine) -> Release | None:
    """The release that serves now, or ``None`` before the first publish."""
    query = sa.select(RELEASES, POINTER.c.revision).join(POINTER, POINTER.c.version == RELEASES.c.version)
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _release(row, row.revision)


def find_release(engine: sa.Engine, version: str) -> Release | None:
    """The release of that version in any state, or ``None``; its revision is 0, so that no flip takes it."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(RELEASES).where(RELEASES.c.version == version)).one_or_none()
    return None if row is None else _release(row, 0)


def _release(row: sa.Row, revision: int) -> Release:
    merge = MergeConfig.model_validate(row.merge_config or {})
    return Release(row.version, row.state, row.bundles, row.collections, row.created_at, revision, merge)


def _unless_another_did(is_done: Callable[[], bool], change: Callable[[], None]) -> None:
    """Make a change to the tables once; of processes that start together, the slower ones see it made."""
    if is_done():
        return
    try:
        change()
    except DBAPIError:
        if not is_done():
            raise


def _has_table(engine: sa.Engine, table: sa.Table) -> bool:
    return sa.inspect(engine).has_table(table.name)


def _missing_columns(engine: sa.Engine, table: sa.Table) -> list[sa.Column]:
    there = {column["name"] for column in sa.inspect(engine).get_columns(table.name)}
    return [column for column in table.columns if column.name not in there]


def _has_column(engine: sa.Engine, column: sa.Column) -> bool:
    return column.name not in {missing.name for missing in _missing_columns(engine, column.table)}


def _add_column(engine: sa.Engine, column: sa.Column) -> None:
    kind = column.type.compile(engine.dialect)
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}"))
