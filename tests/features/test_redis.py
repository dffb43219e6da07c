"""The online store in a real Redis: the same answers as SQLite, pushes by many, and a server that is gone."""

import multiprocessing
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from features.errors import StoreUnavailableError
from features.ingest import ingest
from features.materialize import materialize
from features.settings import Settings
from features.store import FeatureStore
from features.user_features import UserFeatures
from tests.features.landing_rows import DAY, land_day, watch
from tests.features.test_store import NUM_EACH, NUM_PROCESSES, push_many, pushed
from tests.redis_server import running_redis

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """``host:port`` of a Redis of our own, and its process."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder, redis.Redis("127.0.0.1", port), ["--port", str(port)]) as process:
        yield f"127.0.0.1:{port}", process


@pytest.fixture
def home(settings: Settings) -> Settings:
    rows = [
        watch(f"w{i}", 13 + i % 10, video_id=i % 9, user_id=i % 4, long_watch=i % 2 == 0) for i in range(40)
    ]
    land_day(settings, rows)
    ingest([DAY], settings=settings)
    materialize([DAY], settings=settings)
    return settings


def facts(found: UserFeatures | None) -> tuple[object, ...]:
    assert found is not None
    history = found.history
    lists = [list(column) for column in (history.video_ids, history.event_times, history.actions)]
    return (*lists, found.seen.tolist(), found.segment, found.profile, found.feature_time)


def on_redis(home: Settings, address: str) -> Settings:
    """The same exports, with Redis as the online store."""
    return home.model_copy(update={"redis": address})


def test_redis_answers_as_sqlite_does(home: Settings, server: tuple[str, subprocess.Popen[bytes]]) -> None:
    expected = [facts(FeatureStore(home).lookup(user)) for user in range(4)]
    settings = on_redis(home, server[0])
    materialize([DAY], settings=settings)
    store = FeatureStore(settings)
    assert [facts(store.lookup(user)) for user in range(4)] == expected
    assert store.lookup(99) is None


def test_a_row_that_was_mended_replaces_one_of_the_same_time(
    settings: Settings, server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    tuesday, wednesday = "2026-03-03", "2026-03-04"
    on_server = settings.model_copy(update={"redis": server[0]})
    land_day(settings, [watch("a", 13, video_id=1)])
    land_day(settings, [watch("c", 13, day=wednesday, video_id=3)], day=wednesday)
    ingest([DAY, wednesday], settings=settings)
    materialize([wednesday], settings=on_server)
    land_day(settings, [watch("b", 13, day=tuesday, video_id=2)], day=tuesday)
    ingest([tuesday], settings=settings)
    materialize([tuesday], settings=on_server)
    found = FeatureStore(on_server).lookup(1)
    assert found is not None
    assert list(found.history.video_ids) == [1, 2, 3]


@pytest.mark.slow
def test_no_process_loses_a_pushed_event(home: Settings, server: tuple[str, subprocess.Popen[bytes]]) -> None:
    settings = on_redis(home, server[0])
    materialize([DAY], settings=settings)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=push_many, args=(settings, i)) for i in range(NUM_PROCESSES)]
    for process in processes:
        process.start()
    materialize([DAY], settings=settings)
    for process in processes:
        process.join()
    found = FeatureStore(settings).lookup(1)
    assert found is not None
    assert set(range(NUM_PROCESSES * NUM_EACH)) <= set(found.seen.tolist())


def test_a_server_that_is_gone_is_named(home: Settings, server: tuple[str, subprocess.Popen[bytes]]) -> None:
    settings = on_redis(home, server[0])
    materialize([DAY], settings=settings)
    store = FeatureStore(settings)
    server[1].kill()
    server[1].wait()
    with pytest.raises(StoreUnavailableError, match="look-up of user 1 failed"):
        store.lookup(1)
    with pytest.raises(StoreUnavailableError, match="1 users could not be pushed"):
        store.push({1: [pushed(0)]})
