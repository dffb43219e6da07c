"""The online store of a benchmark: SQLite below its home, or a Redis of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from serving.standalone import free_ports
from tests.redis_server import running_redis


@contextmanager
def online_store(is_redis: bool) -> Iterator[str | None]:
    """The address of a redis-server that ends with the block, or ``None`` for SQLite."""
    if not is_redis:
        yield None
        return
    [port] = free_ports(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        redis.Redis(port=port) as client,
        running_redis(Path(folder), client, ["--port", str(port)]),
    ):
        yield f"127.0.0.1:{port}"
