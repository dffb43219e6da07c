"""Curated watches to features: write the missing snapshots, then bring the online store up to date."""

import json
import random
import shutil
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.parquet as pq
import structlog

from features.days import end_of
from features.errors import StoreUnavailableError
from features.lake import Lake
from features.schema import USER_ID, VIDEO_IDS, WATCHES
from features.settings import Settings
from features.snapshots import (
    SEEN_PACKED,
    USER_HISTORY,
    build_snapshots,
    snapshot_days,
    snapshot_path,
    sources_of,
)
from features.stage import write_atomically
from features.user_features import unpack_ids

if TYPE_CHECKING:
    from features.store import FeatureStore

log = structlog.get_logger(__name__)

SOURCES: Final = "snapshot_sources.json"
"""What each snapshot is made of; written after its rows are online."""
PARITY_SAMPLE: Final = 100
"""Users whose online row is compared with the offline join after every materialize."""


def materialize(days: Sequence[str], *, settings: Settings | None = None) -> str:
    """Make features of ``days``, and of every day whose features do not hold what landed by then.

    Those are earlier days without a snapshot, and days whose snapshot is older than a landing day before
    it that was ingested out of order. The online store moves to the end of the newest day that was built,
    never back. Safe to kill and run again, also while days are ingested. Returns the newest of ``days``.

    Raises:
        BadInputError: a day is not in the lake.
        StoreUnavailableError: what the online store returns differs from the offline join.
    """
    from features.store import FeatureStore

    settings = settings or Settings()
    newest = max(days)
    _drop_snapshots_of_another_rule(settings)
    done = snapshot_days(settings)
    last = max([newest, *done])
    curated = [day for day in Lake(settings).day_counts(WATCHES) if day <= last]
    sources = sources_of(curated, settings)  # before the build: what is ingested meanwhile may not be in it
    noted = _noted_sources(settings)
    stale = {day for day in curated if day not in done or noted.get(day) != sources[day]}
    wanted = sorted(stale | set(days))
    for day, rows in build_snapshots(wanted, settings):
        log.info("snapshot written", day=day, **rows)
    store = FeatureStore(settings)
    store.apply()
    online = store.online_until() or end_of(newest)
    until = max(end_of(wanted[-1]), online)
    store.materialize(min(end_of(wanted[0]), online + timedelta(microseconds=1)), until)
    _note_sources({day: sources[day] for day in wanted}, settings)
    checked = _check_parity(store, settings, max(snapshot_days(settings)))
    log.info("features materialized", newest=newest, snapshots=len(wanted), parity_checked=checked)
    return newest


def newest_day(*, settings: Settings | None = None) -> str | None:
    """The newest day with a complete snapshot, or ``None``."""
    return max(snapshot_days(settings or Settings()), default=None)


def _noted_sources(settings: Settings) -> dict[str, str]:
    note = settings.feast / SOURCES
    return json.loads(note.read_text()) if note.exists() else {}


def _note_sources(sources: dict[str, str], settings: Settings) -> None:
    """Remember what each day's snapshot is made of, once it is online too."""
    noted = _noted_sources(settings) | sources
    write_atomically(settings.feast / SOURCES, json.dumps(noted, indent=1))


def _drop_snapshots_of_another_rule(settings: Settings) -> None:
    """Action codes depend on the positive rule, so snapshots under an older rule are made again."""
    note = settings.feast / "positive_rule.json"
    rule = settings.rule.model_dump_json()
    if note.exists() and note.read_text().strip() != rule:
        log.warning("the positive rule changed; all snapshots are built again", rule=rule)
        (settings.feast / SOURCES).unlink(missing_ok=True)  # or snapshots killed before online would pass
        shutil.rmtree(settings.feast / "offline", ignore_errors=True)
    write_atomically(note, rule)


def _check_parity(store: "FeatureStore", settings: Settings, day: str) -> int:
    """Compare online rows with the point-in-time join for some users of ``day``; returns how many."""
    users = pq.read_table(snapshot_path(settings, USER_HISTORY, day), columns=[USER_ID])[USER_ID].to_pylist()
    sample = random.Random(day).sample(users, min(PARITY_SAMPLE, len(users)))
    if not sample:
        return 0
    offline = store.point_in_time(sample, [end_of(day)] * len(sample))
    for user_id, video_ids, packed in zip(sample, offline[VIDEO_IDS], offline[SEEN_PACKED], strict=True):
        online = store.lookup(user_id)
        if (
            online is None
            or list(online.history.video_ids) != list(video_ids)
            or not np.array_equal(online.seen, unpack_ids(packed))
        ):
            raise StoreUnavailableError(
                f"user {user_id} has other features online than offline on {day}; "
                f"run `facet materialize {day}` again"
            )
    return len(sample)
