"""The trend of a bundle from newer plays, without training: a new bundle that differs in nothing else.

Trends last a day or two, a model for weeks. The refreshed bundle is published like any other, so that one
answer never mixes two trends and a rollback brings the old one back.
"""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
import structlog

from features.bundle import (
    ITEM_VECTORS,
    MANIFEST,
    NEIGHBOUR_ID,
    NEIGHBOURS,
    NEIGHBOURS_KIND,
    NEIGHBOURS_SCHEMA,
    USER_SUMS,
    WEIGHT,
    Bundle,
    item_table,
    new_version,
    open_bundle,
    write_bundle,
)
from features.errors import BadInputError
from features.home_lock import beside_others
from features.lake import Lake
from features.settings import Settings
from features.trend import has_trend, trend_factors, write_trend
from training.config import TrendConfig
from training.dataset import WHOLE_PAST, WatchLog
from training.trend import trend_of

log = structlog.get_logger(__name__)

REPLACED: Final = (MANIFEST, USER_SUMS)
"""Written anew with every bundle."""


@beside_others
def refresh_trend(bundle_path: Path, until: datetime, *, settings: Settings) -> Path:
    """Write the bundle again with the trend of the watches before ``until``; returns its path.

    Raises:
        BadInputError: the bundle was trained without a trend, or ``until`` is before what it knows.
    """
    bundle = open_bundle(bundle_path)
    manifest = bundle.manifest
    if not has_trend(bundle):
        raise BadInputError(f"{bundle.name} has no trend; train it with --set trend.power=0.7 or the like")
    if until < manifest.known_until:
        raise BadInputError(
            f"{bundle.name} knows what happened until {manifest.known_until.isoformat()}, "
            f"after {until.isoformat()}"
        )
    watches = WatchLog(Lake(settings), until, manifest.rule)
    config = TrendConfig.model_validate(manifest.config["trend"])
    plays = watches.sequences(until, WHOLE_PAST)
    factors = trend_of(plays, bundle.vocabulary, until, config)
    now = datetime.now(UTC)
    new = manifest.model_copy(
        update={
            "version": new_version(now),
            "created_at": now,
            "trend_until": until,
            "refreshed_from": bundle.name,
            "files": {},
        }
    )
    path = write_bundle(settings.bundles, new, lambda folder: _write(folder, bundle, factors))
    moved = np.abs(np.log(factors / trend_factors(bundle))).mean()
    log.info("trend refreshed", bundle=str(path), mean_log_change=round(float(moved), 4))
    return path


def _write(folder: Path, bundle: Bundle, factors: np.ndarray) -> None:
    if bundle.manifest.kind == NEIGHBOURS_KIND:
        table = bundle.neighbours
        change = (factors / trend_factors(bundle)).astype(np.float32)
        rows = bundle.vocabulary.rows_of(table[NEIGHBOUR_ID].to_numpy()) - 1
        column = table.schema.get_field_index(WEIGHT)
        weights = (table[WEIGHT].to_numpy() * change[rows]).astype(np.float32)
        table = table.set_column(column, NEIGHBOURS_SCHEMA.field(WEIGHT), [weights])
        pq.write_table(table, folder / NEIGHBOURS)
    else:
        vectors = bundle.vectors.copy()
        vectors[:, -1] = np.log(factors)
        pq.write_table(item_table(bundle.video_ids, vectors, bundle.items), folder / ITEM_VECTORS)
    write_trend(folder, bundle.vocabulary.video_ids, factors)
    for file in bundle.path.iterdir():
        if file.name not in REPLACED and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
