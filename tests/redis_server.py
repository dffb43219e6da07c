"""A real Redis for the time of a test: Debian's, which keeps nothing."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis


@contextmanager
def running_redis(
    folder: Path, client: redis.Redis, options: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The process, once it answers ``client``; it goes at the end.

    Args:
        options: of ``redis-server``, where it listens.
    """
    common = ["--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(["redis-server", *options, *common], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()
