"""The feature look-up with a deadline: a slow store must not make a request slow."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from features.errors import StoreUnavailableError
from features.settings import Settings
from features.user_features import NO_VIEWS, FeatureLookup, UserFeatures

log = structlog.get_logger(__name__)

LOOKUP_THREADS: Final = 8
"""When all hang in the store, further look-ups wait in line and meet their deadline there."""
PROBE_USER: Final = 0


class TimedLookup:
    """A ``FeatureLookup`` that gives up after ``timeout_seconds``."""

    def __init__(self, inner: FeatureLookup, *, timeout_seconds: float) -> None:
        self._inner = inner
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="features")

    def lookup(
        self, user_id: int, bundle: str | None = None, without: frozenset[str] = NO_VIEWS
    ) -> UserFeatures | None:
        """See ``FeatureLookup``.

        Raises:
            StoreUnavailableError: the store failed or did not answer in time.
        """
        future = self._threads.submit(self._inner.lookup, user_id, bundle, without)
        try:
            return future.result(self._timeout_seconds)
        except TimeoutError as error:
            future.cancel()
            raise StoreUnavailableError(
                f"look-up of user {user_id} took more than {self._timeout_seconds} s; is the store busy?"
            ) from error

    def check(self, bundle: str | None = None) -> None:
        """Return if the store answers in time; raises what ``lookup`` raises."""
        self.lookup(PROBE_USER, bundle)

    def warm(self, bundle: str | None = None) -> None:
        """One look-up without a deadline: the first one of a process loads the store's registry."""
        try:
            self._inner.lookup(PROBE_USER, bundle)
        except StoreUnavailableError as error:
            log.warning("feature store not ready", error=str(error))


def open_lookup(settings: Settings, *, timeout_seconds: float) -> TimedLookup:
    """The feature store of this home; imports Feast, which takes seconds."""
    from features.store import FeatureStore

    return TimedLookup(FeatureStore(settings), timeout_seconds=timeout_seconds)
