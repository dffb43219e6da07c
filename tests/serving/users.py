"""A feature store in memory, and the users of the tests."""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from features.errors import StoreUnavailableError
from features.history import History
from features.landing_log import LandingLog
from features.positives import Action, PositiveRule
from features.recent import RecentWatch
from features.schema import WATCHES
from features.settings import Settings
from features.user_features import NO_VIEWS, UserFeatures
from serving.app import Parts
from serving.channels import ANYTHING, Found, Scope
from serving.errors import IndexUnavailableError
from serving.events import EventSink
from serving.live import LiveRecaller
from serving.lookup import TimedLookup
from serving.metrics import Metrics
from serving.offline import OfflineVideos

NOW = datetime(2026, 1, 22, tzinfo=UTC)
PLAYED, POSITIVE, LIKED = 0, int(Action.POSITIVE), int(Action.POSITIVE | Action.LIKED)


class UsersInMemory:
    """A ``FeatureLookup`` over a dictionary."""

    def __init__(self, users: Mapping[int, UserFeatures]) -> None:
        self._users = users

    def lookup(
        self, user_id: int, bundle: str | None = None, without: frozenset[str] = NO_VIEWS
    ) -> UserFeatures | None:
        return self._users.get(user_id)


class Shelf:
    """A ``RecentStore`` in memory, which is away while ``opened`` is not set."""

    def __init__(self) -> None:
        self.pushed: list[tuple[int, RecentWatch]] = []
        self.opened = threading.Event()
        self.opened.set()

    def push(self, pushed: Mapping[int, Sequence[RecentWatch]]) -> None:
        if not self.opened.is_set():
            raise StoreUnavailableError("the store is down; start it")
        self.pushed += [(user_id, watch) for user_id, watches in pushed.items() for watch in watches]


class Lost:
    """A channel whose index does not answer."""

    stage = None

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        raise IndexUnavailableError("Milvus does not answer; start it")

    def check(self) -> None:
        raise IndexUnavailableError("Milvus does not answer; start it")


class BrokenStore:
    """A ``FeatureLookup`` that never works, or works too late."""

    def __init__(self, *, seconds: float | None = None) -> None:
        self._seconds = seconds

    def lookup(
        self, user_id: int, bundle: str | None = None, without: frozenset[str] = NO_VIEWS
    ) -> UserFeatures | None:
        if self._seconds is None:
            raise StoreUnavailableError("the store is down; start it")
        time.sleep(self._seconds)
        return None


def user(
    user_id: int,
    watched: Sequence[tuple[int, int]] = (),
    *,
    seen: Sequence[int] | None = None,
    segment: str | None = None,
) -> UserFeatures:
    """A user who watched ``(video, action)``, oldest first, an hour apart; has seen just these by default."""
    videos = [video_id for video_id, _ in watched]
    newest = int(NOW.timestamp() * 1e6)
    times = [newest - hours * 3_600_000_000 for hours in range(len(videos), 0, -1)]
    history = History(videos, times, [action for _, action in watched])
    kept = np.array(videos if seen is None else seen, dtype=np.int64)
    return UserFeatures(user_id, history, kept, segment=segment, feature_time=NOW)


def timed(*users: UserFeatures) -> TimedLookup:
    """These users behind a generous deadline."""
    return TimedLookup(UsersInMemory({one.user_id: one for one in users}), timeout_seconds=20.0)


def parts_of(settings: Settings, live: LiveRecaller, metrics: Metrics) -> Parts:
    """An app that gets no events and records no answers."""
    watches = LandingLog(settings, WATCHES)
    events = EventSink(watches, Shelf, lambda ids: [None] * len(ids), PositiveRule(), metrics)
    return Parts(live, events, None, OfflineVideos(settings), metrics)
