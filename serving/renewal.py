"""The videos of today for every kept release, without a new model.

For each bundle with a collection: its overlay is written (``features/overlay.py``), then its collection is
brought to it (``serving/upserts.py``). In this order serving hides what is gone before it is deleted, and
knows what is new before it is found. Killed anywhere, the next run finishes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from features.bundle import Bundle, open_bundle
from features.errors import PermanentError
from features.live_items import LiveItems
from features.overlay import KINDS_WITH_ITEMS, Snapshot, drop_overlays, read_snapshot, renew_overlay
from features.release import open_registry
from features.settings import Settings
from features.task_metrics import recorded
from serving.collection import build_collection, collection_name, count_rows
from serving.embedded import milvus_server
from serving.errors import RenewalError
from serving.milvus import MilvusConnection
from serving.publisher_lock import publisher_lock
from serving.release import SERVABLE, ReleaseWriter
from serving.samples import sampled_queries
from serving.settings import ServingSettings
from serving.upserts import OnBatch, Synced, nothing_to_do, sync_collection
from serving.verify import verify_collection

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What one run did."""

    day: str | None
    """Of the snapshot; ``None`` if there is none."""
    bundles: Mapping[str, Synced] = field(default_factory=dict)
    """What the collection of each bundle, ``<model>/<version>``, needed."""


@recorded("renew_catalogue")
def renew_catalogue(
    day: str | None = None,
    *,
    settings: Settings | None = None,
    serving_settings: ServingSettings | None = None,
    on_batch: OnBatch = nothing_to_do,
) -> Renewal:
    """Bring every kept release to the newest curated videos; running it again changes nothing.

    Args:
        day: the newest snapshot up to this day; the newest of all if ``None``.
        on_batch: called when a batch is written.

    Raises:
        PublishConflictError: somebody publishes; run again.
        IndexUnavailableError: Milvus did not answer; run again.
        RenewalError: a bundle is damaged, or its collection still not what it should be; the others are
            renewed.
    """
    settings, serving_settings = settings or Settings(), serving_settings or ServingSettings()
    snapshot = read_snapshot(settings, day)
    with publisher_lock(settings):
        kept = _kept_bundles(settings)
        drop_overlays(settings, kept)
        if snapshot is None or not kept:
            return Renewal(snapshot.day if snapshot else None)
        with milvus_server(serving_settings, settings):
            connection = MilvusConnection(serving_settings)
            timeout = serving_settings.publish_timeout_seconds
            done, failed = dict[str, Synced](), dict[str, str]()
            for name in kept:
                try:
                    bundle = open_bundle(settings.bundles / name)
                    if bundle.manifest.kind in KINDS_WITH_ITEMS:
                        live = items_of_today(bundle, snapshot, settings)
                        done[name] = _renew(connection, live, settings, timeout, on_batch)
                except PermanentError as error:  # what was withdrawn must go from the other releases
                    log.error("bundle not renewed", bundle=name, error=str(error))
                    failed[name] = str(error)
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise RenewalError(f"bundles of kept releases not renewed, all others are: {reasons}")
    return Renewal(snapshot.day, done)


def items_of_today(bundle: Bundle, snapshot: Snapshot | None, settings: Settings) -> LiveItems:
    """The videos of ``bundle`` at ``snapshot``, once its overlay is written; as they are without one."""
    if snapshot is None:
        return LiveItems.read(bundle, settings)
    return LiveItems(bundle, renew_overlay(settings, bundle, snapshot))


def fill_collection(
    connection: MilvusConnection,
    live: LiveItems,
    *,
    timeout_seconds: float,
    rebuild: bool = False,
    on_batch: OnBatch = nothing_to_do,
) -> Synced:
    """Let the collection of a bundle hold its videos of today: built if there is none, else what differs.

    Args:
        rebuild: build it in any case.
    """
    name, videos = collection_name(live.bundle.manifest), live.indexed
    num_rows = count_rows(connection, name, timeout_seconds=timeout_seconds)
    if rebuild or num_rows is None:
        build_collection(connection, videos, timeout_seconds=timeout_seconds)
        done = Synced(len(videos.video_ids), len(videos.video_ids), 0)
    else:
        done = sync_collection(connection, name, videos, timeout_seconds=timeout_seconds, on_batch=on_batch)
    log.info(
        "collection filled",
        collection=name,
        snapshot=live.day,
        rows=done.num_rows,
        upserted=done.num_upserted,
        deleted=done.num_deleted,
    )
    return done


def _renew(
    connection: MilvusConnection,
    live: LiveItems,
    settings: Settings,
    timeout_seconds: float,
    on_batch: OnBatch,
) -> Synced:
    """Fill and verify the collection of a bundle."""
    done = fill_collection(connection, live, timeout_seconds=timeout_seconds, on_batch=on_batch)
    videos, name = live.indexed, collection_name(live.bundle.manifest)
    queries = sampled_queries(live.bundle, videos, settings)
    verify_collection(connection, name, videos, queries, timeout_seconds=timeout_seconds)
    return done


def _kept_bundles(settings: Settings) -> list[str]:
    """``<model>/<version>`` of the bundles of kept releases that have a collection."""
    entries = ReleaseWriter(open_registry(settings)).entries()
    return sorted(
        {
            entry.bundles[channel]
            for entry in entries
            if entry.state in SERVABLE
            for channel in entry.collections
        }
    )
