"""A small home to explore: two releases, a user of each kind, titles, seconds watched, planted interests."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn
from fastapi import FastAPI

from features.bundle import Bundle
from features.lake import Lake, curated_schema
from features.schema import (
    EVENT_DAY,
    EVENT_ID,
    EVENT_TIME,
    LANDING_DAY,
    SNAPSHOT_DAY,
    TITLE,
    USER_ID,
    VIDEO_ID,
    VIDEOS,
    WATCH_SECONDS,
    WATCHES,
)
from features.settings import Settings
from features.user_features import UserFeatures
from serving.app import create_app
from serving.dag_runs import AirflowApi
from serving.exposures import ExposureLog
from serving.live import LiveRecaller
from serving.lookup import TimedLookup
from serving.metrics import Metrics
from serving.pages.explorer import explorer_router
from serving.pages.ops import Operations, ops_router
from serving.publish import publish
from serving.settings import ServingSettings
from serving.state_metrics import StateMetrics
from serving.task_files import TaskFiles
from tests.serving.bundles import VECTORS, VIDEO_IDS, write_interests, write_ranking
from tests.serving.conftest import free_port
from tests.serving.users import LIKED, POSITIVE, parts_of, timed, user

FAN, COOK, STRANGER = 1, 2, 99
"""Watched football, then cooking; watched one cooking video; nobody knows this one."""
DAY = "2026-01-21"
TITLES = {10: "Soup for a week", 20: "Every free kick", 30: "Sauces", 40: "Derby", 50: "<b>Stadium</b> food"}
SECONDS, DURATION = 30.0, 40.0
START_SECONDS: Final = 20.0


class Registered:
    """A ``BundleStore`` in memory."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def register_bundle(self, bundle: Bundle) -> None:
        self._names.append(bundle.name)

    def registered_bundles(self) -> list[str]:
        return self._names

    def remove_bundle(self, bundle: str) -> None:
        self._names.remove(bundle)


@dataclass(frozen=True, slots=True)
class Home:
    """A running app over such a home."""

    url: str
    settings: Settings
    live: LiveRecaller
    metrics: Metrics
    first: str
    """The release before the live one."""

    def user(self, user_id: int, query: str = "") -> str:
        """Address of a user's page."""
        return f"{self.url}/explore/{user_id}{'?' if query else ''}{query}"


@contextmanager
def a_home(
    settings: Settings, milvus: ServingSettings, exposures: ExposureLog | None = None
) -> Iterator[Home]:
    """Publish two releases and serve the second; in the first one video 50 is like 10 and nothing else."""
    store = Registered()
    vectors = np.where((VIDEO_IDS == 50)[:, None], np.array([[1.0, 0.0]], dtype=np.float32), VECTORS)
    older = [write_interests(settings, "v1", vectors=vectors), write_ranking(settings, {None: [50, 40]})]
    first = publish(older, settings=settings, serving_settings=milvus, store=store)
    newer = [write_interests(settings, "v2")]
    publish(newer, settings=settings, serving_settings=milvus, store=store)
    fan, cook = user(FAN, [(20, LIKED), (10, POSITIVE)]), user(COOK, [(10, POSITIVE)])
    write_curated(settings, fan)
    with served(settings, milvus, timed(fan, cook), exposures) as (url, live, metrics):
        yield Home(url, settings, live, metrics, first)


@contextmanager
def served(
    settings: Settings, milvus: ServingSettings, users: TimedLookup, exposures: ExposureLog | None = None
) -> Iterator[tuple[str, LiveRecaller, Metrics]]:
    """The app on a port, whatever the home holds."""
    metrics = Metrics()
    live = LiveRecaller(settings, milvus, metrics=metrics, users=users)
    live.refresh()
    parts = replace(
        parts_of(settings, live, metrics),
        exposures=exposures,
        page_routers=(explorer_router(live, settings),),
    )
    with on_a_port(create_app(parts, poll_seconds=3600.0)) as url:
        yield url, live, metrics


def ops_app(settings: Settings, serving: ServingSettings) -> FastAPI:
    """The app with the operations page, whatever the home holds; user 1 watched two videos."""
    metrics = Metrics(TaskFiles(settings.metrics))
    live = LiveRecaller(
        settings, serving, metrics=metrics, users=timed(user(1, [(20, POSITIVE), (10, POSITIVE)]))
    )
    StateMetrics(settings, live, metrics)
    routers = (ops_router(Operations(settings, live, metrics, AirflowApi.of(serving))),)
    live.refresh()
    return create_app(replace(parts_of(settings, live, metrics), page_routers=routers))


@contextmanager
def on_a_port(app: FastAPI) -> Iterator[str]:
    """The app behind a real server on loopback; gives its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(START_SECONDS)


def write_curated(settings: Settings, fan: UserFeatures) -> None:
    """Titles of all videos, and seconds of the fan's first watch alone."""
    videos = [
        {VIDEO_ID: video_id, "uploader_id": 7, "duration_seconds": DURATION, TITLE: title, "is_online": True}
        | {LANDING_DAY: DAY, SNAPSHOT_DAY: DAY}
        for video_id, title in TITLES.items()
    ]
    moment = datetime.fromtimestamp(int(fan.history.event_times[0]) / 1e6, UTC)
    watch = {EVENT_ID: "e1", USER_ID: FAN, VIDEO_ID: 20, EVENT_TIME: moment, WATCH_SECONDS: SECONDS}
    watches = [watch | {LANDING_DAY: DAY, EVENT_DAY: DAY}]
    for table, rows in ((VIDEOS, videos), (WATCHES, watches)):
        Lake(settings).write_day(table, DAY, pa.Table.from_pylist(rows, schema=curated_schema(table)))


def write_truth(settings: Settings) -> None:
    """Cooking, football and chess were planted in the fan; tags 1 and 2 are the first two's."""
    settings.truth.mkdir(parents=True)
    planted = {
        USER_ID: FAN,
        "day": "2026-01-01",
        "num_interests": 3,
        "topics": [0, 1, 2],
        "weights": [0.5, 0.3, 0.2],
        "tags": [1, 1, 2, 2, 3, 3],
    }
    tags = {"tag_id": [1, 2, 3], "name": ["grilling", "keepers", "gambits"], "topic": [0, 1, 2]}
    tables = {
        "users": pa.Table.from_pylist([planted]),
        "topics": pa.table({"topic": [0, 1, 2], "name": ["cooking", "football", "chess"]}),
        "tags": pa.table(tags),
        "videos": pa.table({VIDEO_ID: [10, 20, 30, 40, 50], "topic": [0, 1, 0, 1, 0]}),
    }
    for name, table in tables.items():
        pq.write_table(table, settings.truth / f"{name}.parquet")
