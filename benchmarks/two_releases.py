"""Two releases without a common video, users that both know, processes that serve them, and load on these.

The videos of one release have even ids, those of the other odd ones, and their vectors point into different
halves of the space. So an answer shows from outside what it was made of: an id that does not belong to the
release that the answer names, or interests that score nothing, and it is a mixture.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from features.positives import Action
from features.recent import RecentWatch
from features.settings import Settings
from tests.serving.bundles import write_interests

EVEN: Final = "even"
ODD: Final = "odd"
USERS: Final = range(1, 65)
TOP_N: Final = 50
LOWEST_SCORE: Final = 0.05
"""The best of some thousand unit vectors scores above .5; vectors of the other half exactly 0."""
START_SECONDS: Final = 600.0
ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as its caller saw it."""

    at: float
    """Seconds since the load began, when it was answered."""
    seconds: float
    status: int
    """0: no answer."""
    port: int
    release: str = ""
    reason: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    is_mixed: bool = False


def write_bundle(settings: Settings, version: str, *, num_videos: int = 2_000, dim: int = 16) -> Path:
    """A bundle of even or odd ids, as the first part of ``version`` says: even, odd, even.3."""
    is_odd = version.startswith(ODD)
    own = np.random.default_rng(len(version)).normal(size=(num_videos, dim // 2)).astype(np.float32)
    vectors = np.zeros((num_videos, dim), dtype=np.float32)
    vectors[:, is_odd::2] = own / np.linalg.norm(own, axis=1, keepdims=True)
    ids = 2 * np.arange(1, num_videos + 1) + is_odd
    return write_interests(settings, version, video_ids=ids, vectors=vectors)


def push_users(settings: Settings, *, num_videos: int = 2_000) -> None:
    """Let everybody of ``USERS`` like two even and two odd videos a minute ago."""
    from features.store import FeatureStore

    now = int(datetime.now(UTC).timestamp() * 1e6)
    rng = np.random.default_rng(0)
    watches = {
        user_id: [
            RecentWatch(
                now - 60_000_000 + place,
                f"{user_id}-{place}",
                2 * int(rng.integers(1, num_videos + 1)) + place % 2,
                int(Action.POSITIVE),
            )
            for place in range(4)
        ]
        for user_id in USERS
    }
    store = FeatureStore(settings)
    store.apply()
    store.push(watches)


def is_mixed(answer: dict[str, Any]) -> bool:
    """Whether an answer of ``/v1/recall`` has parts of a release that it does not name."""
    is_odd = answer["release"].startswith(ODD)
    if any(each["video_id"] % 2 != is_odd for each in answer["candidates"]):
        return True
    found = [each["score"] for each in answer["candidates"] if each["interest"] >= 0]
    return bool(found) and max(found) < LOWEST_SCORE


@contextmanager
def served(settings: Settings, environment: dict[str, str], ports: Sequence[int]) -> Iterator[list[str]]:
    """URLs of one ``facet serve`` per port, ready; their log is ``logs/serve-PORT.log``."""
    (settings.root / "logs").mkdir(parents=True, exist_ok=True)
    children = []
    try:
        for port in ports:
            with (settings.root / "logs" / f"serve-{port}.log").open("wb") as log:
                children.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "facet", "serve"],
                        cwd=ROOT,
                        env=environment_of(settings, environment) | {"FACET_PORT": str(port)},
                        stdout=log,
                        stderr=log,
                    )
                )
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            wait_until_ready(url)
        yield urls
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(60)


def environment_of(settings: Settings, environment: dict[str, str]) -> dict[str, str]:
    """Of a child of this home."""
    return os.environ | {"FACET_HOME": str(settings.root), "OMP_NUM_THREADS": "1"} | environment


def wait_until_ready(url: str, seconds: float = START_SECONDS) -> float:
    """Seconds until ``/readyz`` says that full answers are possible.

    Raises:
        TimeoutError: it does not.
    """
    started = time.monotonic()
    reply: Any = None
    while time.monotonic() - started < seconds:
        try:
            reply = httpx.get(f"{url}/readyz", timeout=5)
            if reply.status_code == 200:
                return time.monotonic() - started
        except httpx.HTTPError as error:
            reply = error
        time.sleep(0.1)
    raise TimeoutError(f"{url} is not ready after {seconds} s: {getattr(reply, 'text', reply)}")


@contextmanager
def load(urls: Sequence[str], num_clients: int, *, pause_seconds: float = 0.0) -> Iterator[list[Seen]]:
    """What clients see, which ask one after the other until the ``with`` block ends; the list grows."""
    seen: list[Seen] = []
    stop, began = threading.Event(), time.monotonic()

    def ask(number: int) -> None:
        url = urls[number % len(urls)]
        rng = np.random.default_rng(number)
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.wait(pause_seconds):
                user_id = int(rng.choice(USERS))
                seen.append(_ask(client, user_id, began))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(num_clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def p(seen: Sequence[Seen], percent: float) -> float | None:
    """Milliseconds that so many percent of the answers took at most; ``None`` without any."""
    return round(float(np.percentile([one.seconds for one in seen], percent)) * 1e3, 1) if seen else None


def metric(url: str, name: str) -> float:
    """Sum of a metric of a process over all its labels."""
    lines = httpx.get(f"{url}/metrics", timeout=10).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> float:
    """Seconds until ``what`` is true.

    Raises:
        TimeoutError: it never was.
    """
    started = time.monotonic()
    while not what():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not true after {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - started


def _ask(client: httpx.Client, user_id: int, began: float) -> Seen:
    started = time.monotonic()
    port = client.base_url.port or 0
    try:
        reply = client.post("/v1/recall", json={"user_id": user_id, "top_n": TOP_N})
    except httpx.HTTPError:
        return Seen(time.monotonic() - began, time.monotonic() - started, 0, port)
    now = time.monotonic()
    if reply.status_code != 200:
        return Seen(now - began, now - started, reply.status_code, port)
    answer = reply.json()
    return Seen(
        now - began,
        now - started,
        200,
        port,
        answer["release"],
        answer["reason"],
        answer["left_out"],
        is_mixed(answer),
    )
