"""Curated watches to features: write the missing snapshots, then bring the online store up to date."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.parquet as pq
import structlog

from features.days import end_of
from features.errors import BadInputError, StoreUnavailableError
from features.home_lock import beside_others
from features.lake import Lake
from features.landed import sources_of
from features.online import bring_online, forget_online
from features.point_in_time import features_as_of
from features.schema import USER_ID, VIDEO_IDS, WATCHES
from features.settings import Settings
from features.snapshots import (
    SEEN_PACKED,
    USER_HISTORY,
    USER_RECENT,
    USER_SEEN,
    build_snapshots,
    snapshot_days,
    snapshot_path,
)
from features.stage import write_atomically
from features.task_metrics import MATERIALIZED_ROWS, record, recorded
from features.user_features import unpack_ids

if TYPE_CHECKING:
    from features.store import FeatureStore

log = structlog.get_logger(__name__)

SOURCES: Final = "snapshot_sources.json"
"""What each snapshot is made of; written after the snapshot."""
PARITY_SAMPLE: Final = 100
"""Users whose online row is compared with the offline join after every materialize."""


@recorded("materialize")
@beside_others
def materialize(days: Sequence[str], *, settings: Settings | None = None) -> str:
    """Make features of ``days``, and of every day whose features do not hold what landed by then.

    Those are earlier days without a snapshot, and days whose snapshot is older than a landing day before
    it that was ingested out of order. Of all snapshots, the rows that differ from what is online are written
    there. Safe to kill and run again, also while days are ingested: snapshots and rows that were written
    stay. Returns the newest of ``days``.

    Raises:
        BadInputError: a day is not in the lake.
        StoreUnavailableError: what the online store returns differs from the offline join.
    """
    settings = settings or Settings()
    newest = max(days)
    last = max([newest, *snapshot_days(settings)])
    curated = [day for day in Lake(settings).day_counts(WATCHES) if day <= last]
    missing = sorted(set(days) - set(curated))
    if missing:
        raise BadInputError(
            f"the lake holds no watches of {missing[0]}; run `facet ingest {missing[0]}` first"
        )
    sources = sources_of(curated, settings)  # before the build: what is ingested meanwhile may not be in it
    num_built = _build(sources, settings)
    from features.store import FeatureStore

    store = FeatureStore(settings)
    store.apply()
    written = bring_online(store, settings, noted_sources(settings))
    for bundle in store.registered_bundles():
        if not (settings.bundles / bundle).exists():
            store.remove_bundle(bundle)
            log.info("features of a removed bundle deleted", bundle=bundle)
    record(MATERIALIZED_ROWS, written)
    checked = _check_parity(store, settings, max(snapshot_days(settings)))
    log.info(
        "features materialized",
        newest=newest,
        snapshots=num_built,
        rows_written=written,
        parity_checked=checked,
    )
    return newest


def _build(sources: Mapping[str, str], settings: Settings) -> int:
    """Write the snapshots that are missing or made of something else; each is noted when it is there."""
    done, noted = set(snapshot_days(settings)), noted_sources(settings)
    wanted = [day for day in sources if day not in done or noted.get(day) != sources[day]]
    for day, rows in build_snapshots(wanted, settings):
        noted[day] = sources[day]
        write_atomically(settings.feast / SOURCES, json.dumps(noted, indent=1))
        log.info("snapshot written", day=day, **rows)
    return len(wanted)


def newest_day(*, settings: Settings | None = None) -> str | None:
    """The newest day with a complete snapshot, or ``None``."""
    return max(snapshot_days(settings or Settings()), default=None)


def noted_sources(settings: Settings) -> dict[str, str]:
    """For each day what its snapshot was made of, see ``landed.sources_of``."""
    note = settings.feast / SOURCES
    return json.loads(note.read_text()) if note.exists() else {}


def _check_parity(store: "FeatureStore", settings: Settings, day: str) -> int:
    """Compare online rows with the point-in-time join for some users of ``day``; returns how many."""
    users = pq.read_table(snapshot_path(settings, USER_HISTORY, day), columns=[USER_ID])[USER_ID].to_pylist()
    sample = random.Random(day).sample(users, min(PARITY_SAMPLE, len(users)))
    if not sample:
        return 0
    moments = [end_of(day)] * len(sample)
    histories, seen = (features_as_of(view, sample, moments, settings) for view in (USER_HISTORY, USER_SEEN))
    pushed = frozenset({USER_RECENT})  # watches since then, which offline rows cannot hold
    expected = zip(histories[VIDEO_IDS].to_pylist(), seen[SEEN_PACKED].to_pylist(), strict=True)
    for user_id, (video_ids, packed) in zip(sample, expected, strict=True):
        online = store.lookup(user_id, without=pushed)
        if (
            online is None
            or list(online.history.video_ids) != list(video_ids)
            or not np.array_equal(online.seen, unpack_ids(packed))
        ):
            forget_online(settings)
            raise StoreUnavailableError(
                f"user {user_id} has other features online than offline on {day}; "
                f"`facet materialize {day}` will write every row again"
            )
    return len(sample)
