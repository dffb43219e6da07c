"""Importers by name: what ``facet import SOURCE`` knows."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from features.errors import BadInputError
from features.settings import Settings
from features.sources.column_map import load_column_map
from features.sources.columns import import_columns
from features.sources.kuairand import import_kuairand
from features.sources.kuairec import import_kuairec
from features.sources.microlens import import_microlens
from features.sources.movielens import import_movielens

COLUMNS: Final = "csv"
"""Any delimited or Parquet log, by a column map."""
PUBLIC_LOGS: Final[dict[str, Callable[[Path, Settings], Any]]] = {
    "kuairand": import_kuairand,
    "kuairec": import_kuairec,
    "microlens": import_microlens,
    "movielens": import_movielens,
}
SOURCES: Final = (*PUBLIC_LOGS, COLUMNS)


def import_source(name: str, path: Path, settings: Settings, map_file: Path | None = None) -> dict[str, Any]:
    """Write the log at ``path`` as landing files; returns the fields of the importer's report.

    Args:
        name: one of ``SOURCES``.
        map_file: the column map; for ``csv``, and only for it.

    Raises:
        BadInputError: unknown source, a map too many or none, ingest reads elsewhere, or the importer's own.
    """
    if name not in SOURCES:
        raise BadInputError(f"unknown source {name!r}; known: {', '.join(SOURCES)}")
    if (map_file is None) == (name == COLUMNS):
        wanted = (
            "needs a column map (--map MAP.toml)"
            if name == COLUMNS
            else "has its own layout; leave --map out"
        )
        raise BadInputError(f"import {name} {wanted}")
    if settings.landing_uri is not None:
        raise BadInputError(
            f"importers write to {settings.landing}, ingest reads FACET_LANDING_URI={settings.landing_uri}; "
            "unset it for the import, then copy the landing files to the store"
        )
    if map_file is not None:
        return dataclasses.asdict(import_columns(path, load_column_map(map_file), settings))
    return dataclasses.asdict(PUBLIC_LOGS[name](path, settings))
