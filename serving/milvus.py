"""The connection to Milvus: opened when first used, shared by all threads, its errors translated.

pymilvus closes its channel for good when one reconnection fails, so a client that lost the connection is
thrown away and the next call opens another.
"""

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
    from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub

KEEPALIVE_MS: Final = 600_000
"""pymilvus pings every 10 s by default; Milvus Lite hangs up on that ("too many pings")."""
CONNECT_SECONDS: Final = 2.0
CONNECT_PAUSE_SECONDS: Final = 1.0
"""After a failed connection nobody tries again for this long, so that requests fall back at once."""
CONNECT_FAILED: Final = 2
"""pymilvus' code of a connection that is gone."""


class MilvusConnection:
    """One lazily opened client for all threads and collections."""

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self._connecting = threading.Lock()
        self._client: MilvusClient | None = None
        self._retry_at = 0.0

    @property
    def uri(self) -> str:
        """Where Milvus is expected."""
        return self._settings.milvus_uri

    @contextmanager
    def translating(self, doing: str) -> Iterator["MilvusClient"]:
        """The client; what pymilvus raises inside becomes ``IndexUnavailableError``.

        Args:
            doing: for the error, as in "<doing> failed".
        """
        import grpc
        from pymilvus import MilvusException

        client = self._client or self._connect()
        try:
            yield client
        except MilvusException as error:
            if error.code == CONNECT_FAILED:
                self._forget(client)
            raise IndexUnavailableError(f"{doing} failed at {self.uri}: {error.message}") from error
        except grpc.RpcError as error:  # a deadline is not wrapped
            raise IndexUnavailableError(f"{doing} failed at {self.uri}: {error.code().name}") from error
        except ValueError as error:  # gRPC's word for a channel that another thread has just closed
            self._forget(client)
            raise IndexUnavailableError(f"{doing} failed at {self.uri}: {error}") from error

    @contextmanager
    def calling(self, doing: str) -> Iterator["MilvusServiceStub"]:
        """As ``translating``, for calls of the gRPC service behind the client; nothing is tried twice."""
        import grpc

        with self.translating(doing) as client:
            try:
                yield client._get_connection()._stub
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    self._forget(client)
                raise

    def _connect(self) -> "MilvusClient":
        from pymilvus import MilvusClient, MilvusException

        # While one thread connects, which can take seconds, the others fall back instead of waiting.
        if time.monotonic() < self._retry_at or not self._connecting.acquire(blocking=False):
            raise IndexUnavailableError(f"no Milvus answers at {self.uri}; trying again in a moment")
        # Its own log repeats with a traceback whatever it raises.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        token = self._settings.milvus_token.get_secret_value() if self._settings.milvus_token else ""
        try:
            client = MilvusClient(
                self.uri,
                token=token,
                timeout=CONNECT_SECONDS,
                dedicated=True,
                grpc_options={"grpc.keepalive_time_ms": KEEPALIVE_MS},
            )
        except MilvusException as error:
            self._retry_at = time.monotonic() + CONNECT_PAUSE_SECONDS
            raise IndexUnavailableError(f"no Milvus answers at {self.uri}: {error.message}") from error
        finally:
            self._connecting.release()
        self._client = client
        return client

    def _forget(self, client: "MilvusClient") -> None:
        if self._client is client:
            self._client = None
        client.close()
