"""What only a server can do wrong: Milvus Lite and a real Milvus."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from features.bundle import Bundle, open_bundle
from features.settings import Settings
from serving import collection
from serving.collection import build_collection, collection_name
from serving.embedded import milvus_server
from serving.errors import IndexUnavailableError
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex
from serving.settings import ServingSettings
from serving.standalone import StandaloneMilvus, standalone_milvus
from serving.upserts import sync_collection
from tests.serving.bundles import exact_index, unit_vectors, write_interests
from tests.serving.conftest import free_port, slow_machine
from tests.serving.milvus_indexes import milvus_index

COOKING_AND_FOOTBALL = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
NOTHING = np.empty(0, dtype=np.int64)
SERVERS = [
    pytest.param("milvus", id="lite", marks=pytest.mark.server),
    pytest.param("real_milvus", id="real", marks=pytest.mark.server),
]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> ServingSettings:
    """A server without any collection."""
    empty: ServingSettings = request.getfixturevalue(request.param)
    return empty


def test_milvus_ranks_like_exact_search(settings: Settings, server: ServingSettings) -> None:
    video_ids = np.random.default_rng(1).permutation(5_000)[:1_000].astype(np.int64)
    vectors = unit_vectors(1_000, 16)
    queries, seen = unit_vectors(4, 16, seed=2), video_ids[::3]
    bundle = open_bundle(write_interests(settings, video_ids=video_ids, vectors=vectors))
    exact = exact_index(video_ids, vectors).search(queries, 50, exclude=seen)
    found = milvus_index(server, bundle).search(queries, 50, exclude=seen)
    assert found.video_ids.tolist() == exact.video_ids.tolist()
    assert found.scores == pytest.approx(exact.scores, abs=1e-5)


def test_a_collection_that_outgrew_or_underran_the_limit_is_searched_as_it_is_indexed(
    settings: Settings, server: ServingSettings
) -> None:
    video_ids, vectors, queries = np.arange(600), unit_vectors(600, 8), unit_vectors(2, 8, seed=2)
    small = open_bundle(write_interests(settings, video_ids=video_ids[:300], vectors=vectors[:300]))
    large = open_bundle(write_interests(settings, video_ids=video_ids, vectors=vectors, version="v2"))
    connection = MilvusConnection(server)

    def same(bundle: Bundle, built_from: Bundle, index_type: str) -> None:
        """The collection of ``built_from`` holds ``bundle`` and finds what is best of it, 300 deep."""
        name = collection_name(built_from.manifest)
        sync_collection(connection, name, bundle, timeout_seconds=60.0)
        with connection.translating("describing") as client:
            assert client.describe_index(name, "vector")["index_type"] == index_type
        nothing = np.empty(0, dtype=np.int64)
        exact = exact_index(bundle.video_ids, bundle.vectors).search(queries, 300, exclude=nothing)
        found = MilvusIndex(connection, name, timeout_seconds=60.0).search(queries, 300, exclude=nothing)
        assert found.scores == pytest.approx(exact.scores, abs=1e-5)

    for bundle in (small, large):
        build_collection(connection, bundle, timeout_seconds=60.0, flat_below=500)
    same(small, small, "FLAT")
    same(large, small, "FLAT")
    same(large, large, "HNSW")
    same(small, large, "HNSW")


def test_a_missing_collection_is_unavailable_and_named(server: ServingSettings) -> None:
    index = MilvusIndex(MilvusConnection(server), "videos_gone", timeout_seconds=20.0)
    with pytest.raises(IndexUnavailableError, match="videos_gone"):
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)
    with pytest.raises(IndexUnavailableError, match="no collection 'videos_gone'; publish"):
        index.check()


def test_a_collection_without_its_index_counts_as_none(server: ServingSettings) -> None:
    """So a publish that was killed before the index is run again and builds it anew."""
    connection = MilvusConnection(server)
    with connection.translating("making half a collection") as client:
        client.create_collection("videos_half", schema=collection._schema(client, 2))
    assert collection.count_rows(connection, "videos_half", timeout_seconds=20.0) is None
    assert collection.drop_collections(connection, ["videos_half"]) == ["videos_half"]


def test_a_collection_that_is_lost_and_built_again_answers_again(
    settings: Settings, server: ServingSettings
) -> None:
    bundle = open_bundle(write_interests(settings))
    index = milvus_index(server, bundle)
    with MilvusConnection(server).translating("dropping") as client:
        client.drop_collection("videos_tiny_v1")
    with pytest.raises(IndexUnavailableError, match="videos_tiny_v1"):
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)
    milvus_index(server, bundle)
    assert index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING).video_ids.tolist() == [[10], [20]]


def test_no_milvus_is_unavailable_and_its_address_named() -> None:
    nowhere = ServingSettings(milvus_uri=f"http://127.0.0.1:{free_port()}")
    index = MilvusIndex(MilvusConnection(nowhere), "videos_x", timeout_seconds=1.0)
    with pytest.raises(IndexUnavailableError, match=nowhere.milvus_uri):
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)


@contextmanager
def own_lite(folder: Path) -> Iterator[tuple[ServingSettings, Callable[[], None]]]:
    """A Milvus Lite of this test alone, and what restarts it."""
    milvus, settings = slow_machine(free_port()), Settings(home=folder)
    running = [milvus_server(milvus, settings)]
    running[0].__enter__()

    def restart() -> None:
        running[0].__exit__(None, None, None)
        running[0] = milvus_server(milvus, settings)
        running[0].__enter__()

    try:
        yield milvus, restart
    finally:
        running[0].__exit__(None, None, None)


@contextmanager
def own_real(folder: Path) -> Iterator[tuple[ServingSettings, Callable[[], None]]]:
    """A real Milvus of this test alone, and what restarts it."""

    def restart(server: StandaloneMilvus) -> None:
        server.stop()
        server.start()

    with standalone_milvus(folder) as server:
        yield slow_machine(server.port), lambda: restart(server)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("own_server", [own_lite, own_real], ids=["lite", "real"])
def test_deadlines_hold_while_a_server_hangs_and_all_is_found_after_its_restart(
    settings: Settings, tmp_path: Path, own_server: Callable[[Path], Iterator]
) -> None:
    with own_server(tmp_path / "server") as (milvus, restart):
        index = milvus_index(milvus, open_bundle(write_interests(settings)), timeout_seconds=0.5)
        _search_until(index, deadline_seconds=30)
        _hang(milvus.milvus_port, index)
        restart()
        found = _search_until(index, deadline_seconds=60)
        assert found == [[10, 30, 50, 40, 20], [20, 40, 50, 30, 10]]


def _search_until(index: MilvusIndex, *, deadline_seconds: float) -> list[list[int]]:
    """What a search finds, as soon as one is answered within the deadline of the index."""
    end = time.monotonic() + deadline_seconds
    while True:
        try:
            return index.search(COOKING_AND_FOOTBALL, 5, exclude=NOTHING).video_ids.tolist()
        except IndexUnavailableError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _hang(port: int, index: MilvusIndex) -> None:
    """Suspend the server behind ``port``, search, and wake it up."""
    [listening] = [
        child
        for child in psutil.Process().children(recursive=True)
        if any(c.laddr.port == port and c.status == "LISTEN" for c in child.net_connections())
    ]
    listening.suspend()
    started = time.monotonic()
    with pytest.raises(IndexUnavailableError, match="search in 'videos_tiny_v1' failed"):
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)
    assert 0.4 < time.monotonic() - started < 3.0
    listening.resume()
