"""The connection to Milvus: opened when first used, shared by all threads, its errors translated."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from serving.errors import IndexUnavailableError
from serving.settings import ServingSettings

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CONNECT_SECONDS: Final = 2.0
CONNECT_PAUSE_SECONDS: Final = 1.0
"""After a failed connection nobody tries again for this long, so that requests fall back at once."""


class MilvusConnection:
    """One lazily opened client for all threads and collections."""

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: MilvusClient | None = None
        self._retry_at = 0.0

    @property
    def uri(self) -> str:
        """Where Milvus is expected."""
        return self._settings.milvus_uri

    def client(self) -> "MilvusClient":
        """The open client; gRPC reconnects by itself when Milvus comes back.

        Raises:
            IndexUnavailableError: no connection.
        """
        if self._client is None:
            with self._lock:
                self._client = self._client or self._connect()
        return self._client

    @contextmanager
    def translating(self, doing: str) -> Iterator["MilvusClient"]:
        """The client; what pymilvus raises inside becomes ``IndexUnavailableError``."""
        from pymilvus import MilvusException

        client = self.client()
        try:
            yield client
        except MilvusException as error:
            raise IndexUnavailableError(f"{doing} failed at {self.uri}: {error.message}") from error

    def _connect(self) -> "MilvusClient":
        from pymilvus import MilvusClient, MilvusException

        if time.monotonic() < self._retry_at:
            raise IndexUnavailableError(f"no Milvus answers at {self.uri}; trying again in a moment")
        # Its own log repeats with a traceback whatever it raises.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        token = self._settings.milvus_token
        try:
            return MilvusClient(
                self.uri, token=token.get_secret_value() if token else "", timeout=CONNECT_SECONDS
            )
        except MilvusException as error:
            self._retry_at = time.monotonic() + CONNECT_PAUSE_SECONDS
            raise IndexUnavailableError(f"no Milvus answers at {self.uri}: {error.message}") from error
