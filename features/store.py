"""The feature store: Feast over DuckDB (offline) and SQLite or Redis (online)."""

import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

# Feast turns prometheus_client into files shared by processes, unless that was imported before.
import prometheus_client  # noqa: F401

# isort: split
import feast
import filelock
import ibis
import numpy as np
import redis
import yaml
from feast import RepoConfig
from feast.errors import FeastError
from feast.online_response import OnlineResponse
from google.protobuf.timestamp_pb2 import Timestamp

from features.definitions import (
    ENTITIES,
    FOREVER,
    OFFLINE_SERVICE,
    PROJECT,
    PUSHED_WATCHES,
    RECALL_SERVICE,
    RECENT,
    SCHEMA_OF,
    TTL_OF,
    feature_views,
    services,
)
from features.errors import StoreUnavailableError
from features.history import History
from features.online import online_until
from features.recent import (
    RECENT_LENGTH,
    RecentWatch,
    append_recent,
    merge_recent,
    pack_recent,
    unpack_recent,
)
from features.schema import ACTIONS, EVENT_TIMES, PROFILE, SEGMENT, USER_ID, VIDEO_IDS
from features.settings import Settings
from features.snapshots import AS_OF, KEY_OF, SEEN_PACKED, USER_RECENT
from features.stage import write_atomically
from features.user_features import UserFeatures, unpack_ids

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Feast switches on deprecation warnings for everybody; those of its own dependencies help nobody here.
warnings.filterwarnings("ignore", category=DeprecationWarning, module="ibis|feast")
warnings.filterwarnings("ignore", message=r"Field name \"vector_enabled\"", category=UserWarning)
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
        write_atomically(self._folder / "feature_store.yaml", yaml.safe_dump(_config(self._settings)))
        views = feature_views(self._settings)
        self._feast.apply([*ENTITIES.values(), *views, *services(views)])

    def write_rows(self, view: str, rows: "pa.Table") -> None:
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
        times = found.proto.results[_place_of(name, found)].event_timestamps
        return [_moment_of(time) if time.ToMicroseconds() else None for time in times]

    def expires(self, view: str) -> bool:
        """Whether rows of ``view`` are only valid for a time."""
        return TTL_OF[view] != FOREVER

    def point_in_time(self, user_ids: list[int], moments: list[datetime]) -> "pd.DataFrame":
        """What the recall service held for each user at each moment, one row per pair and in their order.

        Raises:
            StoreUnavailableError: the join lost or multiplied rows.
        """
        import pandas as pd

        asked = pd.DataFrame({USER_ID: user_ids, AS_OF: pd.to_datetime(pd.Series(moments), utc=True)})
        asked[_ORDER] = range(len(asked))
        found = self._feast.get_historical_features(
            entity_df=asked, features=self._service(OFFLINE_SERVICE)
        ).to_df()
        _close_offline_store()
        if len(found) != len(asked):
            raise StoreUnavailableError(
                f"the point-in-time join made {len(found)} rows of {len(asked)}; materialize the days again"
            )
        return found.sort_values(_ORDER).drop(columns=_ORDER).reset_index(drop=True)

    def lookup(self, user_id: int) -> UserFeatures | None:
        """Features of one user in a single round trip, or ``None`` if nothing at all is known.

        Raises:
            StoreUnavailableError: the store did not answer.
        """
        row = self._row(self._service(RECALL_SERVICE), {USER_ID: user_id}, f"user {user_id}")
        if all(value is None for value in row.values()):
            return None
        daily = History(row[VIDEO_IDS] or (), row[EVENT_TIMES] or (), row[ACTIONS] or ())
        recent = unpack_recent(row.get(RECENT))
        seen = unpack_ids(row[SEEN_PACKED])
        if recent:
            seen = np.union1d(seen, np.array([watch.video_id for watch in recent], dtype=np.int64))
        return UserFeatures(
            user_id=user_id,
            history=merge_recent(daily, recent),
            seen=seen,
            segment=row[SEGMENT],
            profile=list(row[PROFILE] or ()),
            feature_time=_latest(online_until(self._settings), recent),
        )

    def push(self, pushed: Mapping[int, Sequence[RecentWatch]], *, length: int = RECENT_LENGTH) -> None:
        """Add watches to ``user_recent``, for the next look-up. Any number of processes may push at once.

        Args:
            pushed: by user; pushing an event again changes nothing.
            length: watches kept per user.

        Raises:
            StoreUnavailableError: nothing may have been written; push again.
        """
        import pandas as pd

        names = [f"{USER_RECENT}:{RECENT}"]
        users = sorted(pushed)
        try:
            with self._push_lock():
                asked = [{USER_ID: user_id} for user_id in users]
                kept = self._feast.get_online_features(features=names, entity_rows=asked)
                merged = [
                    append_recent(unpack_recent(packed), pushed[user_id], length=length)
                    for user_id, packed in zip(users, kept.to_dict()[RECENT], strict=True)
                ]
                rows = {USER_ID: users, RECENT: [pack_recent(watches) for watches in merged]}
                self._feast.push(PUSHED_WATCHES, pd.DataFrame(rows | {AS_OF: _later_than(kept)}))
        except (*UNAVAILABLE, filelock.Timeout) as error:
            raise StoreUnavailableError(f"{len(users)} users could not be pushed: {error}") from error

    def _row(
        self, features: feast.FeatureService, keys: Mapping[str, int | str], whose: str
    ) -> dict[str, Any]:
        """Values by feature, ``None`` where the value is older than its view allows."""
        try:
            found = self._feast.get_online_features(features=features, entity_rows=[dict(keys)])
        except UNAVAILABLE as error:
            raise StoreUnavailableError(f"look-up of {whose} failed: {error}") from error
        now = self._clock()
        oldest = {
            feature.name: now - TTL_OF[view.name]
            for view in features.feature_view_projections
            if TTL_OF[view.name] != FOREVER
            for feature in view.features
        }
        times = dict(zip(found.proto.metadata.feature_names.val, found.proto.results, strict=True))
        stale = {name for name in oldest if _moment_of(times[name].event_timestamps[0]) < oldest[name]}
        values = found.to_dict()
        return {name: None if name in stale else values[name][0] for name in values if name not in keys}

    def _push_lock(self) -> AbstractContextManager[Any]:
        """Held from reading a user's row to writing it."""
        if self._settings.redis:
            return self._redis.lock("facet:push", timeout=PUSH_SECONDS, blocking_timeout=PUSH_SECONDS)
        # Whoever has just let go is quick to ask again: the others must not sleep long.
        return filelock.FileLock(self._folder / ".push.lock", timeout=PUSH_SECONDS, poll_interval=0.002)

    @cached_property
    def _redis(self) -> redis.Redis:
        host, _, port = (self._settings.redis or "").partition(":")
        return redis.Redis(host, int(port or 6379))

    @cached_property
    def _feast(self) -> feast.FeatureStore:
        return feast.FeatureStore(config=RepoConfig(**_config(self._settings), repo_path=self._folder))

    @cache  # noqa: B019 - a store lives as long as its process
    def _service(self, name: str) -> feast.FeatureService:
        try:
            return self._feast.get_feature_service(name)
        except (FeastError, FileNotFoundError) as error:
            raise StoreUnavailableError(
                "the feature store is empty; run `facet materialize DAY` first"
            ) from error


def _later_than(kept: OnlineResponse) -> "pd.Series[pd.Timestamp]":
    """Now, but after what is stored: Redis ignores a row that is not newer, whoever's clock is behind."""
    import pandas as pd

    times = kept.proto.results[_place_of(RECENT, kept)].event_timestamps
    stored = [time.ToMicroseconds() for time in times]
    now = int(datetime.now(UTC).timestamp() * 1e6)
    return pd.Series(pd.to_datetime([max(now, micros + 1) for micros in stored], unit="us", utc=True))


def _place_of(feature: str, found: OnlineResponse) -> int:
    """Where the values of ``feature`` stand among the results."""
    return list(found.proto.metadata.feature_names.val).index(feature)


def _moment_of(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)


def _latest(materialized: datetime | None, recent: Sequence[RecentWatch]) -> datetime | None:
    """The moment that ages count from: a pushed watch may be newer than the daily features."""
    pushed = datetime.fromtimestamp(recent[-1].event_time / 1e6, UTC) if recent else None
    return max((moment for moment in (materialized, pushed) if moment), default=None)


def _close_offline_store() -> None:
    """Feast leaves DuckDB open in ibis' default backend, and DuckDB complains of that when Python exits."""
    ibis.get_backend().disconnect()
    ibis.options.default_backend = None


def _config(settings: Settings) -> dict[str, Any]:
    online: dict[str, Any] = {"type": "sqlite", "path": str(settings.feast / "online.db")}
    if settings.redis:
        # Without its own check, Redis would keep a row of the same moment when a snapshot was mended.
        online = {"type": "redis", "connection_string": settings.redis, "skip_dedup": True}
    registry: str | dict[str, Any] = str(settings.feast / "registry.db")
    if settings.database_url:  # shared by machines; a file would be overwritten by whoever applies last
        registry = {"registry_type": "sql", "path": settings.database_url, "cache_ttl_seconds": 60}
    return {
        "project": PROJECT,
        "provider": "local",
        "registry": registry,
        "offline_store": {"type": "duckdb"},
        "online_store": online,
        "entity_key_serialization_version": 3,
    }
