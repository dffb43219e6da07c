"""From bundles to the release that serves: build beside, verify, flip in one step, tidy up.

Killed anywhere, the old release serves and the next run finishes: the version follows from the bundles alone,
a collection that no verified release names is built again from nothing, and only the flip is visible.
"""

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from features.bundle import INTERESTS_KIND, RANKING_KIND, Bundle, open_bundle
from features.errors import BadInputError
from features.release import Release, current_release, open_registry
from features.settings import Settings
from serving.collection import build_collection, collection_name, count_rows, drop_collections, point_alias
from serving.embedded import is_listening, milvus_server
from serving.errors import (
    IndexUnavailableError,
    NoReleaseError,
    PublishConflictError,
    RollbackError,
    VerificationError,
)
from serving.milvus import MilvusConnection
from serving.release import FAILED, INTERESTS, POPULAR, SERVABLE, VERIFIED, ReleaseWriter
from serving.settings import ServingSettings
from serving.verify import verify_collection

log = structlog.get_logger(__name__)

CHANNEL_OF_KIND: Final = {INTERESTS_KIND: INTERESTS, RANKING_KIND: POPULAR}
MAX_BUNDLE_VERSION: Final = 55
"""A release version has 64 characters; the rest is a dash and eight hex digits."""

OnStep = Callable[[str], None]
"""Called with the name of each step that is done: begun, built, verified, flipped, finished."""


def publish_release(bundles: Sequence[str]) -> str:
    """``publish`` for the DAG: paths as text, settings from the environment."""
    return publish([Path(bundle) for bundle in bundles], settings=Settings(), created_by="airflow")


def publish(
    bundles: Sequence[Path],
    *,
    settings: Settings,
    serving_settings: ServingSettings | None = None,
    created_by: str = "facet",
    on_step: OnStep | None = None,
) -> str:
    """Make the bundles the live release and return its version; the same bundles give the same release.

    Channels that ``bundles`` do not name are taken over from the live release.

    Raises:
        BadInputError: two bundles for one channel, none with interests, or one outside ``FACET_HOME``.
        BundleError: a bundle is damaged.
        VerificationError: the new collection is wrong; the live release is untouched.
        PublishConflictError: somebody else publishes, or the pointer moved meanwhile.
        IndexUnavailableError: Milvus did not answer.
    """
    serving_settings = serving_settings or ServingSettings()
    given = [open_bundle(path) for path in bundles]
    with _lock(settings), milvus_server(serving_settings, settings):
        publication = Publication(settings, serving_settings, on_step or (lambda step: None))
        return publication.run(given, created_by)


def rollback(
    version: str | None = None, *, settings: Settings, serving_settings: ServingSettings | None = None
) -> str:
    """Make ``version``, or the release before the live one, live again; return its version.

    Raises:
        NoReleaseError: nothing is live.
        RollbackError: that release is not kept.
        PublishConflictError: the pointer moved meanwhile.
    """
    serving_settings = serving_settings or ServingSettings()
    engine = open_registry(settings)
    writer = ReleaseWriter(engine)
    live = current_release(engine)
    if live is None:
        raise NoReleaseError("nothing is published yet, so there is nothing to roll back")
    target = writer.rollback_target(live.version, version)
    collection = next(e.collections[INTERESTS] for e in writer.entries() if e.version == target)
    connection = MilvusConnection(serving_settings)
    timeout = serving_settings.publish_timeout_seconds
    reachable = is_listening(serving_settings)
    if reachable and count_rows(connection, collection, timeout_seconds=timeout) is None:
        raise RollbackError(
            f"Milvus has lost collection {collection!r} of release {target}; publish it again"
        )
    if target != live.version:
        writer.flip(target, expected_revision=live.revision)
        log.info("release rolled back", version=target, before=live.version)
    if reachable:
        _point_alias(connection, collection)
    return target


class Publication:
    """One run of ``publish``, with the lock held and Milvus up."""

    def __init__(self, settings: Settings, serving_settings: ServingSettings, on_step: OnStep) -> None:
        self._settings = settings
        self._timeout = serving_settings.publish_timeout_seconds
        self._connection = MilvusConnection(serving_settings)
        engine = open_registry(settings)
        self._live = current_release(engine)
        self._writer = ReleaseWriter(engine)
        self._on_step = on_step

    def run(self, given: Sequence[Bundle], created_by: str) -> str:
        """Build, verify, flip and tidy; see ``publish``."""
        channels = channels_of(given, self._live, self._settings)
        interests = open_bundle(self._settings.bundles / channels[INTERESTS])
        collection = collection_name(interests.manifest)
        version = release_version(channels)
        if self._live is not None and self._live.version == version:
            self._prepare(interests, collection)  # heals an index that lost the collection
            self._finish(version, collection)
            return version
        is_complete = self._is_complete(collection)
        self._writer.begin(
            version, bundles=channels, collections={INTERESTS: collection}, created_by=created_by
        )
        self._on_step("begun")
        try:
            self._prepare(interests, collection, rebuild=not is_complete)
        except VerificationError as error:
            self._writer.set_state(version, FAILED, reason=str(error))
            log.error("release failed", version=version, reason=str(error))
            raise
        self._writer.set_state(version, VERIFIED)
        self._on_step("verified")
        self._writer.flip(version, expected_revision=self._live.revision if self._live else 0)
        log.info("release live", version=version, before=self._live.version if self._live else None)
        self._on_step("flipped")
        self._finish(version, collection)
        return version

    def _is_complete(self, collection: str) -> bool:
        """Whether a release that passed its verification stands on this collection."""
        return any(
            entry.state in SERVABLE and collection in entry.collections.values()
            for entry in self._writer.entries()
        )

    def _prepare(self, interests: Bundle, collection: str, *, rebuild: bool = False) -> None:
        num_rows = count_rows(self._connection, collection, timeout_seconds=self._timeout)
        if rebuild or num_rows != len(interests.video_ids):
            build_collection(self._connection, interests, timeout_seconds=self._timeout)
            log.info("collection built", collection=collection, videos=len(interests.video_ids))
        self._on_step("built")
        found = verify_collection(self._connection, collection, interests, timeout_seconds=self._timeout)
        log.info(
            "collection verified", collection=collection, rows=found.num_rows, ann_recall=found.ann_recall
        )

    def _finish(self, version: str, collection: str) -> None:
        """Everything after the flip; running it again changes nothing."""
        _point_alias(self._connection, collection)
        kept = self._writer.retire_old(version, self._live.version if self._live else None)
        dropped = drop_collections(self._connection, self._writer.unused_collections())
        log.info("releases kept", versions=kept, dropped=dropped)
        self._on_step("finished")


def channels_of(given: Sequence[Bundle], live: Release | None, settings: Settings) -> dict[str, str]:
    """Channel to ``<model>/<version>``: what is given, else what the live release has.

    Raises:
        BadInputError: two bundles for one channel, none with interests, or one outside ``FACET_HOME``.
    """
    channels: dict[str, str] = {}
    for bundle in given:
        channel = CHANNEL_OF_KIND.get(bundle.manifest.kind)
        if channel is None:
            raise BadInputError(
                f"{bundle.name} is of kind {bundle.manifest.kind!r}, which has no channel in serving yet; "
                f"publish bundles of kind {', '.join(CHANNEL_OF_KIND)}"
            )
        if channel in channels:
            raise BadInputError(
                f"{channels[channel]} and {bundle.name} both fill channel {channel!r}; publish one of them"
            )
        if bundle.path.resolve() != (settings.bundles / bundle.name).resolve():
            raise BadInputError(f"{bundle.path} must lie at {settings.bundles / bundle.name} to be published")
        channels[channel] = bundle.name
    channels = (live.bundles if live else {}) | channels
    if INTERESTS not in channels:
        raise BadInputError("the first release needs a bundle of kind 'interests'; add one to the call")
    return channels


def release_version(channels: dict[str, str]) -> str:
    """Version of the interests bundle and a hash of all channels: it sorts by time."""
    digest = hashlib.sha256(json.dumps(channels, sort_keys=True).encode()).hexdigest()[:8]
    bundle_version = channels[INTERESTS].split("/")[1]
    return f"{bundle_version[:MAX_BUNDLE_VERSION]}-{digest}"


def _point_alias(connection: MilvusConnection, collection: str) -> None:
    try:
        point_alias(connection, collection)
    except IndexUnavailableError as error:
        log.warning("alias not written; nobody decides by it", collection=collection, error=str(error))


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """One publisher per home; the kernel lets go when the holder dies."""
    settings.root.mkdir(parents=True, exist_ok=True)
    with (settings.root / "publish.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PublishConflictError(
                f"another publish is running in {settings.root}; wait for it and run again"
            ) from error
        yield
