"""How soon a recall knows what happened: from sending a watch until its video is not recalled any more.

    python -m benchmarks.event_to_recall [--redis] [--events N] [--dislike]

Builds a small simulated home with a release of two bundles, runs ``facet serve`` over Milvus Lite and SQLite,
or a redis-server of its own, and then, for one user after the other: takes the first video of a recall,
sends a watch of it to ``/v1/events``, and asks until the video is gone. Prints and writes to
FACET_HOME/bench/event_to_recall.json the median, the 99th percentile and the worst of: seconds until 202,
seconds until the recall without the video was answered, and of one recall. Ends with 1 if a video stays.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.feature_stores import online_store
from benchmarks.report import report
from features.days import end_of
from features.ingest import ingest
from features.materialize import materialize
from features.settings import Settings
from features.sources.simulator import SimulationConfig, simulate
from serving.client import FacetClient, FacetClientError
from serving.embedded import milvus_server
from serving.event_bodies import WatchEvent
from serving.publish import publish
from serving.settings import ServingSettings
from training.run import train
from training.settings import TrainingSettings

REPOSITORY: Final = Path(__file__).parent.parent
PATIENCE_SECONDS: Final = 30.0
START_SECONDS: Final = 180.0
PAUSE_SECONDS: Final = 0.002
LAST_DAY: Final = "2026-03-04"


def main() -> None:
    """Build, serve, measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", action="store_true", help="features in Redis instead of SQLite")
    parser.add_argument("--events", type=int, default=200, help="one of each of so many users")
    parser.add_argument("--dislike", action="store_true", help="the watches end with a dislike")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facet-event-") as folder, online_store(options.redis) as redis:
        settings = Settings(home=Path(folder), redis=redis)
        milvus = ServingSettings(milvus_uri=f"http://127.0.0.1:{_free_port()}")
        with milvus_server(milvus, settings):
            _release(settings, milvus, options.events)
            with _serving(settings, milvus) as client:
                seconds = [_one(client, user, options.dislike) for user in range(options.events)]
    found = {name: _summary([each[name] for each in seconds]) for name in seconds[0]}
    facts = {
        "store": "redis" if options.redis else "sqlite",
        "events": options.events,
        "first_event": seconds[0],
    }
    for name, figures in found.items():
        sys.stdout.write(
            f"{name:<14}" + "".join(f" {key} {value:.4f}" for key, value in figures.items()) + "\n"
        )
    report("event_to_recall", facts | found, shown=False)


def _one(client: FacetClient, user_id: int, disliked: bool) -> dict[str, float]:
    """Seconds of one event."""
    started = time.perf_counter()
    answer = client.recall(user_id, top_n=50, record=False)
    asked = time.perf_counter() - started
    video_id = answer.candidates[0].video_id
    event = WatchEvent(
        event_id=f"bench-{user_id}",
        user_id=user_id,
        video_id=video_id,
        event_time=datetime.now(UTC),
        watch_seconds=1.0 if disliked else 30.0,
        disliked=disliked,
        request_id=answer.request_id,
    )
    sent = time.perf_counter()
    client.send([event])
    stored = time.perf_counter() - sent
    while True:
        answer = client.recall(user_id, top_n=50, record=False)
        known = time.perf_counter() - sent
        if all(candidate.video_id != video_id for candidate in answer.candidates):
            return {"recall": asked, "stored": stored, "event_to_recall": known}
        if known > PATIENCE_SECONDS:
            sys.exit(f"user {user_id} is still shown video {video_id} after {known:.1f} s")
        time.sleep(PAUSE_SECONDS)


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": float(np.median(seconds)),
        "p99": float(np.quantile(seconds, 0.99)),
        "worst": max(seconds),
    }


def _release(settings: Settings, milvus: ServingSettings, num_users: int) -> None:
    config = SimulationConfig(
        num_users=max(num_users, 50),
        num_videos=1000,
        num_uploaders=100,
        num_topics=8,
        num_days=4,
        last_day=LAST_DAY,
    )
    simulate(config, settings)
    ingest(config.days, settings=settings)
    materialize(config.days, settings=settings)
    untracked = TrainingSettings(mlflow_uri="off")
    wanted = {"single_activation": ["epochs=1", "dim=16", "min_watches=3"], "item_cf": ["min_watches=2"]}
    bundles = [
        train(
            model,
            end_of(LAST_DAY),
            settings=settings,
            overrides=overrides,
            show_progress=False,
            training=untracked,
        )
        for model, overrides in wanted.items()
    ]
    publish(bundles, settings=settings, serving_settings=milvus)


@contextmanager
def _serving(settings: Settings, milvus: ServingSettings) -> Iterator[FacetClient]:
    """A client of ``facet serve``, which is ready."""
    port = _free_port()
    told = {
        "FACET_HOME": str(settings.root),
        "FACET_MILVUS_URI": milvus.milvus_uri,
        "FACET_PORT": str(port),
        "FACET_HOST": "127.0.0.1",
    } | ({"FACET_REDIS": settings.redis} if settings.redis else {})
    command = [sys.executable, "-m", "facet", "serve"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | told)
    try:
        with FacetClient(f"http://127.0.0.1:{port}", timeout_seconds=PATIENCE_SECONDS) as client:
            _wait_until_ready(client, process)
            yield client
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(client: FacetClient, process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while True:
        try:
            client.recall(0, top_n=50, record=False)
            return
        except FacetClientError as error:
            if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                sys.exit(f"facet serve does not answer: {error}")
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
