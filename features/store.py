"""The feature store: Feast over DuckDB (offline) and SQLite or Redis (online)."""

import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

# Feast turns prometheus_client into files shared by processes, unless that was imported before.
import prometheus_client  # noqa: F401

# isort: split
import feast
import filelock
import ibis
import numpy as np
import pyarrow as pa
import redis
import structlog
import yaml
from feast import RepoConfig
from feast.errors import FeastError
from jaxtyping import Int64

from features.bundle import INTERESTS_KIND, STORED_INTERESTS_KIND, Bundle
from features.bundle_rows import delete_bundle_rows
from features.bundle_views import (
    BUNDLE_ENTITY,
    PREFIX,
    bundle_name,
    bundle_service,
    bundle_views,
    service_name,
    ttl_of,
)
from features.definitions import (
    ENTITIES,
    FOREVER,
    OFFLINE_SERVICE,
    PUSHED_IMPRESSIONS,
    PUSHED_WATCHES,
    RECALL_SERVICE,
    RECENT,
    SCHEMA_OF,
    SHOWN_PACKED,
    TTL_OF,
    feature_views,
    services,
)
from features.errors import StoreUnavailableError
from features.feast_config import store_config
from features.follows import FOLLOWED_UPLOADERS, Follows
from features.history import History
from features.impressions import add_shown, pack_shown, unpack_shown
from features.online import BATCH_ROWS, online_until
from features.recent import (
    RECENT_LENGTH,
    RecentWatch,
    append_recent,
    merge_recent,
    pack_recent,
    unpack_recent,
)
from features.redis_address import open_redis
from features.schema import ACTIONS, EVENT_TIMES, PROFILE, SEGMENT, TIMESTAMP, USER_ID, VIDEO_IDS
from features.settings import Settings
from features.snapshots import AS_OF, KEY_OF, SEEN_PACKED, USER_RECENT, USER_SHOWN, snapshot_path
from features.stage import write_atomically, write_parquet
from features.user_features import NO_VIEWS, UserFeatures, unpack_ids
from features.user_vectors import (
    ACTIVATION_PACKED,
    USER_ACTIVATION,
    USER_VECTORS,
    VECTORS_PACKED,
    VERSION,
    WEIGHTS_PACKED,
    pack_activation,
    unpack_floats,
    unpack_user_vectors,
)

if TYPE_CHECKING:
    import pandas as pd

# Feast switches on deprecation warnings for everybody; those of its own dependencies help nobody here.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="ibis|feast")
warnings.filterwarnings("ignore", message=r"Field name \"vector_enabled\"", category=UserWarning)
log = structlog.get_logger(__name__)

_ORDER: Final = "asked_order"
PUSH_SECONDS: Final = 30
"""Longest wait for other processes that push, and longest time that one may hold the lock."""
UNAVAILABLE: Final = (FeastError, OSError, sqlite3.Error, redis.RedisError)
"""What the stores raise when they do not answer."""


def _now() -> datetime:
    return datetime.now(UTC)


class FeatureStore:
    """Offline joins and online look-ups for one FACET_HOME; ``features/online.py`` copies rows online.

    Args:
        clock: tells how old a value is; Feast itself serves a value however long ago its time to live ended.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime] = _now) -> None:
        self._settings = settings
        self._clock = clock
        self._folder = settings.feast

    def apply(self) -> None:
        """Register entities, views and the service; ``feature_store.yaml`` is for Feast's own tools."""
        self._folder.mkdir(parents=True, exist_ok=True)
        config = yaml.safe_dump(store_config(self._settings))
        write_atomically(self._folder / "feature_store.yaml", config, is_secret=True)  # passwords of stores
        views = feature_views(self._settings)
        of_bundles = bundle_views(self._settings)
        self._feast.apply([*ENTITIES.values(), BUNDLE_ENTITY, *views, *of_bundles, *services(views)])

    def write_rows(self, view: str, rows: pa.Table) -> None:
        """Replace the online rows of these entities, whatever is there.

        Raises:
            StoreUnavailableError: the store did not answer; some rows may have been written.
        """
        try:
            self._feast.write_to_online_store(view, rows.to_pandas())
        except UNAVAILABLE as error:
            raise StoreUnavailableError(f"{len(rows)} rows of {view} were not written: {error}") from error

    def times_of(self, view: str, ids: Sequence[int]) -> list[datetime | None]:
        """The moment of each entity's online row, or ``None`` where there is none."""
        asked = [{KEY_OF[view]: each} for each in ids]
        name = SCHEMA_OF[view][0].name
        try:
            found = self._feast.get_online_features(features=[f"{view}:{name}"], entity_rows=asked)
        except UNAVAILABLE as error:
            raise StoreUnavailableError(f"look-up of {view} failed: {error}") from error
        place = list(found.proto.metadata.feature_names.val).index(name)
        times = found.proto.results[place].event_timestamps
        return [time.ToDatetime(UTC) if time.ToMicroseconds() else None for time in times]

    def expires(self, view: str) -> bool:
        """Whether rows of ``view`` are only valid for a time."""
        return TTL_OF[view] != FOREVER

    def point_in_time(
        self, ids: list[int], moments: list[datetime], view: str | None = None
    ) -> "pd.DataFrame":
        """What was known of each entity at each moment, by Feast's join; one row per pair and in their order.

        Args:
            view: what is joined; what recall reads of a user if ``None``.

        Raises:
            StoreUnavailableError: the join lost or multiplied rows.
        """
        import pandas as pd

        key = KEY_OF[view] if view else USER_ID
        asked = pd.DataFrame({key: ids, AS_OF: pd.to_datetime(pd.Series(moments), utc=True)})
        asked[_ORDER] = range(len(asked))
        features = self._service(OFFLINE_SERVICE)
        if view:
            features = [f"{view}:{field.name}" for field in SCHEMA_OF[view]]
        found = self._feast.get_historical_features(entity_df=asked, features=features).to_df()
        _close_offline_store()
        if len(found) != len(asked):
            raise StoreUnavailableError(
                f"the point-in-time join made {len(found)} rows of {len(asked)}; materialize the days again"
            )
        return found.sort_values(_ORDER).drop(columns=_ORDER).reset_index(drop=True)

    def lookup(
        self, user_id: int, bundle: str | None = None, without: frozenset[str] = NO_VIEWS
    ) -> UserFeatures | None:
        """Features of one user in a single round trip, or ``None`` if nothing at all is known.

        Args:
            bundle: ``<model>/<version>`` that was registered; then what this bundle needs is read, its own
                rows of the user included.
            without: views that are not read: two of six take a third of the time.

        Raises:
            StoreUnavailableError: the store did not answer, or the bundle is not registered.
        """
        features, ttls = self._asked(service_name(bundle) if bundle else RECALL_SERVICE, without)
        keys = {USER_ID: user_id} | ({VERSION: bundle} if bundle else {})
        [row] = self._rows(features, ttls, [keys], f"user {user_id}")
        if all(value is None for value in row.values()):
            return None
        daily = History(*(row.get(name) or () for name in (VIDEO_IDS, EVENT_TIMES, ACTIONS)))
        recent = unpack_recent(row.get(RECENT))
        seen = unpack_ids(row[SEEN_PACKED])
        if recent.watches:
            seen = np.union1d(seen, recent.video_ids())
        activation = row.get(ACTIVATION_PACKED)
        return UserFeatures(
            user_id=user_id,
            history=merge_recent(daily, recent.watches),
            seen=seen,
            segment=row[SEGMENT],
            profile=list(row[PROFILE] or ()),
            feature_time=_latest(online_until(self._settings), recent.watches),
            vectors=unpack_user_vectors(row.get(VECTORS_PACKED), row.get(WEIGHTS_PACKED)),
            activation=unpack_floats(activation) if activation else None,
            shown=unpack_shown(row.get(SHOWN_PACKED)),
            follows=Follows.of(row.get(FOLLOWED_UPLOADERS), recent.watches),
        )

    def read(self, view: str, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Online values of some entities of ``view``; ``None`` where there is none that still holds.

        Raises:
            StoreUnavailableError: the store did not answer.
        """
        names = [field.name for field in SCHEMA_OF[view]]
        asked = [{KEY_OF[view]: each} for each in ids]
        return self._rows(
            [f"{view}:{name}" for name in names], dict.fromkeys(names, ttl_of(view)), asked, view
        )

    def register_bundle(self, bundle: Bundle) -> None:
        """Let look-ups name ``bundle``: its feature service, and the rows of users that are part of it.

        Raises:
            StoreUnavailableError: the store did not answer; run again.
        """
        self.apply()
        views = [*feature_views(self._settings), *bundle_views(self._settings)]
        self._feast.apply([bundle_service(bundle.manifest, views)])
        self._asked.cache_clear()
        name, until = bundle_name(bundle.manifest), bundle.manifest.data.until
        if bundle.manifest.kind == INTERESTS_KIND:
            self._write_of_bundle(USER_ACTIVATION, name, pack_activation(bundle), until)
        if bundle.manifest.kind == STORED_INTERESTS_KIND:
            self.write_user_vectors(name, bundle.user_interests, until)

    def write_user_vectors(self, bundle: str, rows: pa.Table, moment: datetime) -> None:
        """Store the interests of users for look-ups of ``bundle``, ``<model>/<version>``.

        Args:
            rows: the result of ``user_vectors.pack_user_vectors``.
            moment: what the interests are true for; they are served for 30 days from then.

        Raises:
            StoreUnavailableError: the store did not answer; run again.
        """
        self._write_of_bundle(USER_VECTORS, bundle, rows, moment)

    def registered_bundles(self) -> list[str]:
        """Bundles, ``<model>/<version>``, that look-ups can name."""
        services = self._feast.list_feature_services()
        return sorted(service.tags["bundle"] for service in services if "bundle" in service.tags)

    def remove_bundle(self, bundle: str) -> None:
        """Forget the service and all rows of ``<model>/<version>``."""
        try:
            delete_bundle_rows(bundle, self._settings, self._redis if self._settings.redis else None)
            self._feast.delete_feature_service(service_name(bundle))
        except UNAVAILABLE as error:
            raise StoreUnavailableError(f"rows of {bundle} were not deleted: {error}; run again") from error
        self._asked.cache_clear()

    def push(self, pushed: Mapping[int, Sequence[RecentWatch]], *, length: int = RECENT_LENGTH) -> None:
        """Add watches to ``user_recent``, for the next look-up. Any number of processes may push at once.

        Args:
            pushed: by user; pushing an event again changes nothing.
            length: watches kept per user; of older ones the video, until the daily features hold it.

        Raises:
            StoreUnavailableError: nothing may have been written; push again.
        """
        known_until = online_until(self._settings)

        def merged(user_id: int, packed: bytes | None) -> bytes:
            kept, now = unpack_recent(packed), self._clock()
            added = append_recent(kept, pushed[user_id], now=now, known_until=known_until, length=length)
            return pack_recent(added)

        self._push(f"{USER_RECENT}:{RECENT}", PUSHED_WATCHES, sorted(pushed), merged)

    def push_shown(self, shown: Mapping[int, Sequence[Int64[np.ndarray, "_ 3"]]]) -> None:
        """Add answers to ``user_shown``, by user, as ``impressions.shown_on`` makes them.

        Raises:
            StoreUnavailableError: nothing may have been written; pushed again they may count twice.
        """

        def merged(user_id: int, packed: bytes | None) -> bytes:
            return pack_shown(add_shown(unpack_shown(packed), shown[user_id]))

        self._push(f"{USER_SHOWN}:{SHOWN_PACKED}", PUSHED_IMPRESSIONS, sorted(shown), merged)

    def _push(
        self,
        feature: str,
        source: str,
        users: list[int],
        merged: Callable[[int, bytes | None], bytes],
    ) -> None:
        """Replace the value of each user by what ``merged`` makes of it; nobody writes in between."""
        import pandas as pd

        name = feature.partition(":")[2]
        try:
            with self._push_lock():
                asked = [{USER_ID: user_id} for user_id in users]
                kept = self._feast.get_online_features(features=[feature], entity_rows=asked).to_dict()[name]
                values = [merged(user_id, packed) for user_id, packed in zip(users, kept, strict=True)]
                rows = pd.DataFrame({USER_ID: users, name: values, AS_OF: datetime.now(UTC)})
                self._feast.push(source, rows)
        except (*UNAVAILABLE, filelock.Timeout) as error:
            raise StoreUnavailableError(f"{len(users)} users could not be pushed: {error}") from error

    def _rows(
        self,
        features: feast.FeatureService | list[str],
        ttls: Mapping[str, timedelta],
        asked: list[dict[str, Any]],
        whose: str,
    ) -> list[dict[str, Any]]:
        """Values by feature for each of ``asked``, ``None`` where one is older than its view allows."""
        try:
            found = self._feast.get_online_features(features=features, entity_rows=asked)
        except UNAVAILABLE as error:
            raise StoreUnavailableError(f"look-up of {whose} failed: {error}") from error
        values = found.to_dict()
        rows = [{name: values[name][i] for name in values if name not in asked[i]} for i in range(len(asked))]
        times = dict(zip(found.proto.metadata.feature_names.val, found.proto.results, strict=True))
        now = self._clock()
        for name, ttl in ttls.items():
            for row, time in zip(rows, times[name].event_timestamps, strict=True):
                if ttl != FOREVER and time.ToDatetime(UTC) < now - ttl:
                    row[name] = None
        return rows

    def _write_of_bundle(self, view: str, bundle: str, rows: pa.Table, moment: datetime) -> None:
        times = pa.repeat(pa.scalar(moment, TIMESTAMP), len(rows))
        owned = rows.append_column(VERSION, pa.repeat(bundle, len(rows))).append_column(AS_OF, times)
        write_parquet(owned, snapshot_path(self._settings, view, bundle.replace("/", "_")))
        for first in range(0, len(owned), BATCH_ROWS):
            self.write_rows(view, owned.slice(first, BATCH_ROWS))
        log.info("rows of bundle online", view=view, bundle=bundle, rows=len(owned))

    def _push_lock(self) -> AbstractContextManager[Any]:
        """Held from reading a user's row to writing it."""
        if self._settings.redis:
            return self._redis.lock("facet:push", timeout=PUSH_SECONDS, blocking_timeout=PUSH_SECONDS)
        # Whoever has just let go is quick to ask again: the others must not sleep long.
        return filelock.FileLock(self._folder / ".push.lock", timeout=PUSH_SECONDS, poll_interval=0.002)

    @cached_property
    def _redis(self) -> redis.Redis:
        return open_redis(self._settings.redis or "", self._settings.redis_password)

    @cached_property
    def _feast(self) -> feast.FeatureStore:
        return feast.FeatureStore(config=RepoConfig(**store_config(self._settings), repo_path=self._folder))

    @cache  # noqa: B019 - a store lives as long as its process
    def _asked(
        self, name: str, without: frozenset[str]
    ) -> tuple[feast.FeatureService | list[str], dict[str, timedelta]]:
        """What to read for a service, and how long each feature holds."""
        service = self._service(name)
        views = [view for view in service.feature_view_projections if view.name not in without]
        ttls = {field.name: ttl_of(view.name) for view in views for field in view.features}
        named = [f"{view.name}:{field.name}" for view in views for field in view.features]
        return named if without else service, ttls

    def _service(self, name: str) -> feast.FeatureService:
        try:
            return self._feast.get_feature_service(name)
        except (FeastError, FileNotFoundError) as error:
            if name.startswith(PREFIX) and name != RECALL_SERVICE and self._folder.exists():
                raise StoreUnavailableError(
                    f"no feature service {name}; register its bundle first"
                ) from error
            raise StoreUnavailableError(
                "the feature store is empty; run `facet materialize DAY` first"
            ) from error


def _latest(materialized: datetime | None, recent: Sequence[RecentWatch]) -> datetime | None:
    """The moment that ages count from: a pushed watch may be newer than the daily features."""
    pushed = datetime.fromtimestamp(recent[-1].event_time / 1e6, UTC) if recent else None
    return max((moment for moment in (materialized, pushed) if moment), default=None)


def _close_offline_store() -> None:
    """Feast leaves DuckDB open in ibis' default backend, and DuckDB complains of that when Python exits."""
    ibis.get_backend().disconnect()
    ibis.options.default_backend = None
