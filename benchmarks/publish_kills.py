"""Kills of ``facet publish`` at random moments, each followed by the same command again, while a reader asks.

    python -m benchmarks.publish_kills [--kills 30] [--seed 7] [--milvus real|lite]

Every kill is of the publication of a new release, at a moment between the first write of an undisturbed run
and its end. The reader follows the pointer as serving does and asks without a pause: each answer must be
whole and of one release. In the end the last release is live, and Milvus holds the collections of the kept
releases and nothing else.
"""

import argparse
import itertools
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from benchmarks.flip import milvus
from benchmarks.report import report
from benchmarks.two_releases import (
    EVEN,
    ODD,
    ROOT,
    USERS,
    environment_of,
    is_mixed,
    push_users,
    write_bundle,
)
from features.errors import FacetError
from features.release import current_release, open_registry
from features.settings import Settings
from serving.api import RecallResponse
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.milvus import MilvusConnection
from serving.publish import publish, release_version
from serving.release import SERVABLE, ReleaseWriter
from serving.settings import ServingSettings

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.2


@dataclass
class Read:
    """What the reader saw."""

    answers: int = 0
    mixed: int = 0
    errors: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    releases: list[str] = field(default_factory=list)
    """That answered, one after the other."""


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--milvus", choices=["real", "lite"], default="real")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, milvus(options.milvus, Path(folder)) as uri:
        # Deadlines that a busy machine can hold: what is asked is whether answers are there, not how fast.
        serving_settings = ServingSettings(
            milvus_uri=uri, features_timeout_ms=20_000, search_timeout_ms=20_000
        )
        found = kill_publishers(
            Settings(home=Path(folder)), serving_settings, num_kills=options.kills, seed=options.seed
        )
    report("publish_kills", found | {"milvus": options.milvus})
    sys.exit(0 if is_as_promised(found) else 1)


def is_as_promised(found: dict[str, Any]) -> bool:
    """Whether readers always got a whole answer and everything ended as it should."""
    wrong = ("mixed", "errors", "reasons", "wrong_ends", "stray_collections", "missing_collections")
    return not any(found[name] for name in wrong)


def kill_publishers(
    settings: Settings, serving_settings: ServingSettings, *, num_kills: int, seed: int
) -> dict[str, Any]:
    """What came of ``num_kills`` kills."""
    environment = {"FACET_MILVUS_URI": serving_settings.milvus_uri}
    push_users(settings)
    publish([write_bundle(settings, EVEN)], settings=settings, serving_settings=serving_settings)
    chance, killed, wrong_ends, seconds = random.Random(seed), Counter[str](), [], []
    with Reader(settings, serving_settings) as read:
        started = datetime.now(UTC).replace(tzinfo=None)
        longest = _publish(settings, environment, str(write_bundle(settings, ODD)), None)
        earliest = (_writer(settings).entries()[0].created_at - started).total_seconds()  # before: imports
        for number in range(num_kills):
            version = f"{ODD if number % 2 else EVEN}.{number}"
            bundle = str(write_bundle(settings, version))
            before = _live(settings)
            _publish(settings, environment, bundle, chance.uniform(0.9 * earliest, longest))
            wanted = release_version({"interests": f"tiny/{version}"})
            state = {each.version: each.state for each in _writer(settings).entries()}
            killed[state.get(wanted, "not begun")] += 1
            if _live(settings) not in (before, wanted):
                wrong_ends.append(f"{version}: {_live(settings)} was live after the kill")
            seconds.append(_publish(settings, environment, bundle, None))
            if _live(settings) != wanted:
                wrong_ends.append(f"{version}: {_live(settings)} was live after the second run")
            log.warning("killed and run again", number=number, state=state.get(wanted), answers=read.answers)
        time.sleep(2 * POLL_SECONDS)
    with MilvusConnection(serving_settings).translating("listing") as client:
        there = set(client.list_collections())
    kept = [each for each in _writer(settings).entries() if each.state in SERVABLE]
    named = {name for each in kept for name in each.collections.values()}
    return {
        "kills": num_kills,
        "state_at_kill": dict(killed),
        "undisturbed_seconds": round(longest, 2),
        "second_run_seconds": round(sum(seconds) / max(len(seconds), 1), 2),
        "wrong_ends": wrong_ends,
        "stray_collections": sorted(there - named),
        "missing_collections": sorted(named - there),
        "kept": [each.version for each in kept],
        "answers": read.answers,
        "mixed": read.mixed,
        "errors": read.errors[:10],
        "reasons": dict(read.reasons),
        "releases_read": len(read.releases),
    }


class Reader:
    """Follows the live release and asks it, in two threads, until the ``with`` block ends."""

    def __init__(self, settings: Settings, serving_settings: ServingSettings) -> None:
        self.read = Read()
        self._live = LiveRecaller(settings, serving_settings, metrics=Metrics())
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._follow, self._ask_all)]

    def __enter__(self) -> Read:
        """Start, with the release that is live."""
        if not self._live.refresh():
            raise RuntimeError("nothing is live; publish first")
        for thread in self._threads:
            thread.start()
        return self.read

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._live.refresh()

    def _ask_all(self) -> None:
        for user_id in itertools.cycle(USERS):
            if self._stop.is_set():
                return
            self._ask(user_id)

    def _ask(self, user_id: int) -> None:
        read = self.read
        try:
            recaller, _ = self._live.recaller_of(user_id)
            result = recaller.recall(user_id, 20)
        except FacetError as error:
            read.errors.append(str(error))
            return
        read.answers += 1
        read.mixed += is_mixed(RecallResponse.model_validate(result).model_dump(mode="json"))
        if result.reason:
            read.reasons[result.reason.value] += 1
        if not read.releases or read.releases[-1] != result.release:
            read.releases.append(result.release)


def _publish(settings: Settings, environment: dict[str, str], bundle: str, kill_after: float | None) -> float:
    """Seconds of one ``facet publish``, which is killed after so many if it still runs.

    Raises:
        RuntimeError: it failed by itself.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "facet", "publish", bundle],
        cwd=ROOT,
        env=environment_of(settings, environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, said = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return time.monotonic() - started
    if process.returncode != 0:
        raise RuntimeError(f"facet publish {bundle} failed: {said.decode()[-2000:]}")
    return time.monotonic() - started


def _live(settings: Settings) -> str | None:
    release = current_release(open_registry(settings))
    return release.version if release else None


def _writer(settings: Settings) -> ReleaseWriter:
    return ReleaseWriter(open_registry(settings))


if __name__ == "__main__":
    main()
