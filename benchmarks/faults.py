"""Milvus or Redis away, or slow by two seconds, under load: what callers get, and for how long.

    python -m benchmarks.faults [--seconds 20] [--clients 8] [FAULT ...]

One ``facet serve`` process reaches both through small TCP proxies. A fault lasts ``seconds``: the proxy holds
back every byte for two seconds, or the server is killed, and started again at the end. Reported are status
codes, ``reason`` and ``left_out`` of the answers meanwhile, their latency, and how long after the end of the
fault the last answer came that was not whole.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.report import report
from benchmarks.two_releases import EVEN, Seen, load, metric, p, push_users, served, wait_for, write_bundle
from features.settings import Settings
from serving.publish import publish
from serving.settings import ServingSettings
from serving.standalone import StandaloneMilvus, free_ports

DELAY_SECONDS: Final = 2.0
SETTLE_SECONDS: Final = 20.0
"""Waited after a fault for answers to be whole again."""
Fault = tuple[Callable[[], None], Callable[[], None]]
"""What begins it and what ends it."""


class SlowProxy:
    """A TCP proxy in a thread, which holds back what passes by ``delay_seconds``.

    Args:
        target: port of loopback that it leads to.
    """

    def __init__(self, target: int) -> None:
        self.delay_seconds = 0.0
        self._target = target
        [self.port] = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        opening = asyncio.start_server(self._connected, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(opening, self._loop).result(10)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass_on(reader, there[1]), self._pass_on(there[0], writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        writer.close()


class Redis:
    """``redis-server`` without files, at a port of loopback."""

    def __init__(self) -> None:
        [self.port] = free_ports(1)
        self._folder = tempfile.mkdtemp()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it listens; what it had saved is there again."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder]
        self._process = subprocess.Popen(
            [*command, "--appendonly", "yes", "--save", ""], stdout=subprocess.DEVNULL
        )
        wait_for(lambda: subprocess.run(self._ping, capture_output=True, check=False).stdout == b"PONG\n")

    def kill(self) -> None:
        """As a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def _ping(self) -> list[str]:
        return ["redis-cli", "-p", str(self.port), "ping"]


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("faults", nargs="*", help="such as 'milvus slow'; all by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, broken_up(Path(folder)) as (url, faults):
        found = {
            name: under_fault(url, fault, seconds=options.seconds, num_clients=options.clients)
            for name, fault in faults.items()
            if name in (options.faults or faults)
        }
    report("faults", {"clients": options.clients, "faults": found})


@contextmanager
def broken_up(folder: Path) -> Iterator[tuple[str, dict[str, Fault]]]:
    """URL of a serving process whose dependencies can fail, and the faults by name."""
    milvus, redis = StandaloneMilvus(folder / "standalone"), Redis()
    to_milvus, to_redis = SlowProxy(milvus.port), SlowProxy(redis.port)
    faults: dict[str, Fault] = {
        "milvus slow": _slow(to_milvus),
        "milvus stopped": (lambda: os.killpg(milvus.pid, signal.SIGKILL), _restarting(milvus)),
        "redis slow": _slow(to_redis),
        "redis stopped": (redis.kill, redis.start),
    }
    address = f"127.0.0.1:{to_redis.port}"
    settings = Settings(home=folder / "home", redis=address)
    environment = {"FACET_MILVUS_URI": f"http://127.0.0.1:{to_milvus.port}", "FACET_REDIS": address}
    try:
        milvus.start()
        redis.start()
        for proxy in (to_milvus, to_redis):
            proxy.start()
        push_users(settings)
        publish(
            [write_bundle(settings, EVEN)],
            settings=settings,
            serving_settings=ServingSettings(milvus_uri=milvus.uri),
        )
        with served(settings, environment, free_ports(1)) as [url]:
            yield url, faults
    finally:
        redis.kill()
        milvus.stop()


def under_fault(url: str, fault: Fault, *, seconds: float, num_clients: int) -> dict[str, Any]:
    """What callers get before, during and after a fault."""
    begin, end = fault
    with load([url], num_clients, pause_seconds=0.05) as seen:
        started = time.monotonic()
        time.sleep(seconds / 4)
        begin()
        began = time.monotonic() - started
        time.sleep(seconds)
        end()
        ended = time.monotonic() - started
        time.sleep(SETTLE_SECONDS)
    during = [one for one in seen if began <= one.at - one.seconds and one.at <= ended]
    return {
        "before": summary([one for one in seen if one.at < began]),
        "during": summary(during),
        "after": summary([one for one in seen if one.at - one.seconds > ended]),
        "whole_again_after_seconds": whole_again(seen, ended),
        "mismatches": metric(url, "facet_release_mismatch_total"),
    }


def summary(seen: Sequence[Seen]) -> dict[str, Any]:
    """Statuses, reasons, channels left out, and latency."""
    return {
        "requests": len(seen),
        "status": dict(Counter(one.status for one in seen)),
        "reason": dict(Counter(str(one.reason) for one in seen)),
        "left_out": dict(Counter(str(one.left_out) for one in seen if one.left_out)),
        "p50_ms": p(seen, 50),
        "p99_ms": p(seen, 99),
        "max_ms": p(seen, 100),
    }


def whole_again(seen: Sequence[Seen], ended: float) -> float | None:
    """Seconds from the end of a fault until the last answer that was not whole; ``None`` if it goes on."""
    after = sorted((one for one in seen if one.at > ended), key=lambda one: one.at)
    broken = [one.at for one in after if one.status != 200 or one.reason is not None]
    if not after or (broken and broken[-1] >= after[-1].at):
        return None
    return round(broken[-1] - ended, 2) if broken else 0.0


def _slow(proxy: SlowProxy) -> Fault:
    return lambda: setattr(proxy, "delay_seconds", DELAY_SECONDS), lambda: setattr(
        proxy, "delay_seconds", 0.0
    )


def _restarting(milvus: StandaloneMilvus) -> Callable[[], None]:
    def restart() -> None:
        milvus.stop()
        milvus.start()

    return restart


if __name__ == "__main__":
    main()
