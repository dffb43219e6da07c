"""What a task did, as rows for the table at the end of its log; by the names of ``features/lineage.py``.

``commit`` logs its own table: its result does not name all of its days.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyarrow.parquet as pq

from features.bundle import read_manifest
from features.release import find_release, open_registry
from features.settings import Settings
from features.snapshots import VIEWS, snapshot_path
from features.stage import Stage
from features.validation import run_of

Rows = list[dict[str, Any]]


def staged(folder: str, settings: Settings) -> Rows:
    """Of ``stage``: where the rows of each landing day and table went, and the rule that refused most."""
    return [count.row() for count in Stage.open(Path(folder)).counts]


def validated(folder: str, settings: Settings) -> Rows:
    """Of ``validate``: expectations by day and table."""
    return run_of(Path(folder), settings).by_table()


def materialized(newest: str, settings: Settings) -> Rows:
    """Of ``materialize``: rows of each view on the newest day."""
    paths = {view: snapshot_path(settings, view, newest) for view in VIEWS}
    return [{"view": v, "day": newest, "rows": pq.read_metadata(p).num_rows} for v, p in paths.items()]


def trained(bundle: str, settings: Settings) -> Rows:
    """Of ``train``: the bundle and its own figures; the gate logs those of the judged day."""
    manifest = read_manifest(Path(bundle))
    facts: dict[str, Any] = {"kind": manifest.kind, "until": f"{manifest.data.until:%Y-%m-%d}"}
    facts |= {"videos": manifest.num_videos, "users": manifest.data.num_users}
    facts |= {"positives": manifest.data.num_positives}
    return [{"name": name, "value": value} for name, value in (facts | manifest.metrics).items()]


def published(version: str, settings: Settings) -> Rows:
    """Of ``publish``: channels of the release, their bundles and collections."""
    found = find_release(open_registry(settings), version)
    bundles, collections = (found.bundles, found.collections) if found else ({}, {})
    return [{"channel": n, "bundle": b, "collection": collections.get(n)} for n, b in bundles.items()]


SUMMARIES: Final[Mapping[str, Callable[[str, Settings], Rows]]] = MappingProxyType(
    {each.__name__: each for each in (staged, validated, materialized, trained, published)}
)
"""By the name that a DAG's task gives."""
