"""From bundles to the release that serves: build beside, verify, flip in one step, tidy up.

Killed anywhere, the old release serves and the next run finishes: the version follows from the bundles and
their merge alone, a collection that no verified release names is built again from nothing, and only the flip
is visible.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import structlog

from features.bundle import Bundle
from features.channels import open_channels, reopen_channels
from features.errors import BadInputError
from features.links import OPERATIONS, note_link
from features.log_table import log_table
from features.merge_config import DEFAULT_MERGE, INTERESTS, POPULAR, MergeConfig
from features.overlay import KINDS_WITH_ITEMS, read_snapshot
from features.release import Release, current_release, open_registry
from features.settings import Settings
from features.task_metrics import VERIFIED_RECALL, record, recorded, recording
from serving.collection import collection_name, count_rows, drop_collections, point_alias
from serving.embedded import is_listening, milvus_server
from serving.errors import (
    IndexUnavailableError,
    NoReleaseError,
    RollbackError,
    VerificationError,
)
from serving.milvus import MilvusConnection
from serving.publisher_lock import publisher_lock
from serving.release import FAILED, SERVABLE, VERIFIED, ReleaseWriter
from serving.renewal import fill_collection, items_of_today
from serving.samples import sampled_queries
from serving.settings import ServingSettings
from serving.verify import verify_collection
from serving.video_map import draw_live_map

log = structlog.get_logger(__name__)

MAX_BUNDLE_VERSION: Final = 55
"""A release version has 64 characters; the rest is a dash and eight hex digits."""

OnStep = Callable[[str], None]
"""Called with the name of each step that is done: begun, built (each collection), registered, verified,
flipped, finished."""


@runtime_checkable
class BundleStore(Protocol):
    """Who looks up users for a bundle: ``features.store.FeatureStore``."""

    def register_bundle(self, bundle: Bundle) -> None:
        """Let look-ups name ``bundle``."""
        ...

    def registered_bundles(self) -> list[str]:
        """Bundles, ``<model>/<version>``, that look-ups can name."""
        ...

    def remove_bundle(self, bundle: str) -> None:
        """Forget ``<model>/<version>`` and its rows of users."""
        ...


def publish_release(bundles: Sequence[str]) -> str:
    """``publish`` and the map, for the DAG: paths as text, settings from the environment.

    Channels that ``FACET_MERGE`` weighs and that have no bundle yet are left out: the others share.
    """
    settings, serving_settings = Settings(), ServingSettings()
    merge = serving_settings.merge
    if merge is not None:
        live = current_release(open_registry(settings))
        merge = merge.limited_to({*open_channels(bundles), *(live.bundles if live else {})})
    started, steps = time.perf_counter(), list[dict[str, str | float]]()

    def note(step: str) -> None:
        steps.append({"step": step, "after seconds": time.perf_counter() - started})

    try:
        version = publish(
            bundles,
            settings=settings,
            merge=merge,
            serving_settings=serving_settings,
            created_by="airflow",
            on_step=note,
        )
        if draw_live_map(settings):
            note("mapped")
        return version
    finally:
        log_table("steps that are done", steps)
        note_link(OPERATIONS, f"{serving_settings.serving_url}/ops")


@recorded("publish")
def publish(
    bundles: Sequence[Path | str],
    *,
    settings: Settings,
    merge: MergeConfig | None = None,
    serving_settings: ServingSettings | None = None,
    created_by: str = "facet",
    store: BundleStore | None = None,
    on_step: OnStep | None = None,
) -> str:
    """Make the bundles the live release and return its version; the same call gives the same release.

    Channels that ``bundles`` do not name are taken over from the live release, as is its merge. A ``merge``
    with weights decides: what it does not weigh is not taken over, but for ``popular``.

    Args:
        bundles: paths, or ``NAME=PATH``, see ``features/channels.py``.
        store: the feature store of this home by default.

    Raises:
        BadInputError: two bundles for one channel, none with interests, one outside ``FACET_HOME``, or
            weights that do not fit the channels.
        BundleError: a bundle is damaged.
        VerificationError: a new collection is wrong; the live release is untouched.
        PublishConflictError: somebody else publishes, or the pointer moved meanwhile.
        IndexUnavailableError: Milvus did not answer.
        StoreUnavailableError: the feature store did not.
    """
    serving_settings = serving_settings or ServingSettings()
    given = open_channels(bundles)
    with publisher_lock(settings), milvus_server(serving_settings, settings):
        publication = Publication(settings, serving_settings, store, on_step or (lambda step: None))
        return publication.run(given, merge, created_by)


def choose_rollback(version: str | None = None, *, settings: Settings | None = None) -> str:
    """What ``rollback`` would make live now: chosen once, so that a repeated task goes back no further.

    Raises:
        NoReleaseError: nothing is live.
        RollbackError: that release is not kept.
    """
    engine = open_registry(settings or Settings())
    live = current_release(engine)
    if live is None:
        raise NoReleaseError("nothing is published yet, so there is nothing to roll back")
    target = ReleaseWriter(engine).rollback_target(live.version, version)
    log.info("release to go back to", version=target, live=live.version)
    return target


def rollback(
    version: str | None = None,
    *,
    settings: Settings | None = None,
    serving_settings: ServingSettings | None = None,
) -> str:
    """Make ``version``, or else what the live release replaced, live again; return its version.

    Raises:
        NoReleaseError: nothing is live.
        RollbackError: that release is not kept.
        PublishConflictError: the pointer moved meanwhile.
    """
    settings, serving_settings = settings or Settings(), serving_settings or ServingSettings()
    target = choose_rollback(version, settings=settings)  # a version that was mistyped is no failed rollback
    with recording("rollback", settings):
        return _roll_back(target, settings, serving_settings)


def _roll_back(target: str, settings: Settings, serving_settings: ServingSettings) -> str:
    engine = open_registry(settings)
    writer, live = ReleaseWriter(engine), current_release(engine)
    assert live is not None, "or there was nothing to choose"
    collections = next(e.collections for e in writer.entries() if e.version == target)
    connection = MilvusConnection(serving_settings)
    timeout = serving_settings.publish_timeout_seconds
    reachable = is_listening(serving_settings)
    for collection in sorted(collections.values()) if reachable else ():
        if count_rows(connection, collection, timeout_seconds=timeout) is None:
            raise RollbackError(
                f"Milvus has lost collection {collection!r} of release {target}; publish it again"
            )
    if target != live.version:
        writer.flip(target, expected_revision=live.revision, is_rollback=True)
        log.info("release rolled back", version=target, before=live.version)
    else:
        log.info("release is live already", version=target)
    if reachable:
        _point_alias(connection, collections[INTERESTS])
    return target


class Publication:
    """One run of ``publish``, with the lock held and Milvus up."""

    def __init__(
        self,
        settings: Settings,
        serving_settings: ServingSettings,
        store: BundleStore | None,
        on_step: OnStep,
    ) -> None:
        self._settings = settings
        self._timeout = serving_settings.publish_timeout_seconds
        self._max_search_ms = serving_settings.publish_max_search_ms
        self._connection = MilvusConnection(serving_settings)
        engine = open_registry(settings)
        self._live = current_release(engine)
        self._writer = ReleaseWriter(engine)
        self._given_store = store
        self._on_step = on_step

    def run(self, given: Mapping[str, Bundle], merge: MergeConfig | None, created_by: str) -> str:
        """Build, verify, flip and tidy; see ``publish``."""
        channels = channels_of(given, merge, self._live, self._settings)
        merge = merge or (self._live.merge if self._live else DEFAULT_MERGE)
        merge.require_fit(channels)
        bundles = reopen_channels(channels, self._settings)
        searched = {name: each for name, each in bundles.items() if each.manifest.kind in KINDS_WITH_ITEMS}
        collections = {name: collection_name(bundle.manifest) for name, bundle in searched.items()}
        version = release_version(channels, merge)
        if self._live is not None and self._live.version == version:
            self._prepare(searched)  # heals an index that lost a collection
            self._register(bundles)
            self._finish(version, collections)
            return version
        complete = {name for name, collection in collections.items() if self._is_complete(collection)}
        self._writer.begin(
            version, bundles=channels, collections=collections, merge=merge, created_by=created_by
        )
        self._on_step("begun")
        try:
            self._prepare(searched, rebuild=searched.keys() - complete)
        except VerificationError as error:
            self._writer.set_state(version, FAILED, reason=str(error))
            log.error("release failed", version=version, reason=str(error))
            raise
        self._register(bundles)
        self._on_step("registered")
        self._writer.set_state(version, VERIFIED)
        self._on_step("verified")
        self._writer.flip(version, expected_revision=self._live.revision if self._live else 0)
        log.info("release live", version=version, before=self._live.version if self._live else None)
        self._on_step("flipped")
        self._finish(version, collections)
        return version

    def _is_complete(self, collection: str) -> bool:
        """Whether a release that passed its verification stands on this collection."""
        return any(
            entry.state in SERVABLE and collection in entry.collections.values()
            for entry in self._writer.entries()
        )

    def _prepare(self, searched: Mapping[str, Bundle], *, rebuild: AbstractSet[str] = frozenset()) -> None:
        """Collections that hold their bundles' videos of today; those that do already are only verified."""
        snapshot = read_snapshot(self._settings)
        for name, bundle in searched.items():
            collection = collection_name(bundle.manifest)
            live = items_of_today(bundle, snapshot, self._settings)
            fill_collection(self._connection, live, timeout_seconds=self._timeout, rebuild=name in rebuild)
            self._on_step("built")
            videos = live.indexed
            found = verify_collection(
                self._connection,
                collection,
                videos,
                sampled_queries(bundle, videos, self._settings),
                timeout_seconds=self._timeout,
                max_search_ms=self._max_search_ms,
            )
            record(VERIFIED_RECALL, found.ann_recall, channel=name)
            log.info(
                "collection verified",
                collection=collection,
                rows=found.num_rows,
                ann_recall=found.ann_recall,
                search_ms=found.search_ms,
            )

    def _register(self, bundles: Mapping[str, Bundle]) -> None:
        """Before the flip, so that no request names a bundle that look-ups do not know."""
        for bundle in bundles.values():
            self._store.register_bundle(bundle)

    def _finish(self, version: str, collections: Mapping[str, str]) -> None:
        """Everything after the flip; running it again changes nothing."""
        _point_alias(self._connection, collections[INTERESTS])
        kept = self._writer.retire_old(version)
        dropped = drop_collections(self._connection, self._writer.unused_collections())
        gone = sorted(set(self._writer.unused_bundles()) & set(self._store.registered_bundles()))
        for bundle in gone:
            self._store.remove_bundle(bundle)
        log.info("releases kept", versions=kept, dropped=dropped, unregistered=gone)
        self._on_step("finished")

    @cached_property
    def _store(self) -> BundleStore:
        if self._given_store is not None:
            return self._given_store
        from features.store import FeatureStore

        return FeatureStore(self._settings)


def channels_of(
    given: Mapping[str, Bundle], merge: MergeConfig | None, live: Release | None, settings: Settings
) -> dict[str, str]:
    """Channel to ``<model>/<version>``: what is given, else what the live release has.

    Raises:
        BadInputError: none with interests, or one outside ``FACET_HOME``.
    """
    for bundle in given.values():
        if bundle.path.resolve() != (settings.bundles / bundle.name).resolve():
            raise BadInputError(f"{bundle.path} must lie at {settings.bundles / bundle.name} to be published")
    weights = merge.weights if merge else {}
    taken_over = {
        name: bundle
        for name, bundle in (live.bundles if live else {}).items()
        if not weights or name in weights or name == POPULAR
    }
    channels = taken_over | {name: bundle.name for name, bundle in given.items()}
    if INTERESTS not in channels:
        raise BadInputError("the first release needs a bundle of kind 'interests'; add one to the call")
    return channels


def release_version(channels: Mapping[str, str], merge: MergeConfig = DEFAULT_MERGE) -> str:
    """Version of the interests bundle and a hash of all channels and their merge: it sorts by time."""
    parts: dict[str, object] = dict(channels)
    if merge != DEFAULT_MERGE:  # releases of 0.1 had none, and keep their versions
        parts["merge"] = merge.model_dump()
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    bundle_version = channels[INTERESTS].split("/")[1]
    return f"{bundle_version[:MAX_BUNDLE_VERSION]}-{digest}"


def _point_alias(connection: MilvusConnection, collection: str) -> None:
    try:
        point_alias(connection, collection)
    except IndexUnavailableError as error:
        log.warning("alias not written; nobody decides by it", collection=collection, error=str(error))
