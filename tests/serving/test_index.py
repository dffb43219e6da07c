"""One contract, every index. Milvus runs for real, as a Milvus Lite server."""

import time
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import psutil
import pytest

from features.bundle import open_bundle
from features.filters import VideoFilters
from features.merge import NO_VIDEO
from features.settings import Settings
from serving.collection import build_collection, collection_name
from serving.embedded import milvus_server
from serving.errors import IndexUnavailableError
from serving.index import CandidateIndex
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex
from serving.settings import ServingSettings
from tests.serving.bundles import FIRST, VECTORS, VIDEO_IDS, exact_index, unit_vectors, write_interests
from tests.serving.conftest import free_port, slow_machine

COOKING_AND_FOOTBALL = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
NOTHING = np.empty(0, dtype=np.int64)


def milvus_index(
    settings: Settings, milvus: ServingSettings, video_ids: np.ndarray, vectors: np.ndarray
) -> MilvusIndex:
    bundle = open_bundle(write_interests(settings, video_ids=video_ids, vectors=vectors))
    connection = MilvusConnection(milvus)
    build_collection(connection, bundle, timeout_seconds=60.0)
    return MilvusIndex(
        connection, collection_name(bundle.manifest), timeout_seconds=60.0, num_videos=len(video_ids)
    )


@pytest.fixture(params=["exact", pytest.param("milvus", marks=pytest.mark.server)])
def index(request: pytest.FixtureRequest, settings: Settings) -> Iterator[CandidateIndex]:
    if request.param == "exact":
        yield exact_index()
    else:
        yield milvus_index(settings, request.getfixturevalue("milvus"), VIDEO_IDS, VECTORS)


def test_one_ranking_per_query_best_first(index: CandidateIndex) -> None:
    # First coordinates: 10 -> 1.0, 30 -> .9, 50 -> .6; second: 20 -> 1.0, 40 -> .8, 50 -> .6.
    hits = index.search(COOKING_AND_FOOTBALL, 3, exclude=NOTHING)
    assert hits.video_ids.tolist() == [[10, 30, 50], [20, 40, 50]]


def test_scores_are_inner_products(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 2, exclude=NOTHING)
    assert hits.scores == pytest.approx(np.array([[1.0, 0.9], [1.0, 0.8]]), abs=1e-6)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [  # 10 has no category, 20 no duration, only 30 and 40 have a language
        (VideoFilters(categories=("any",)), {20, 30, 40, 50}),
        (VideoFilters(excluded_categories=("any",)), {10}),
        (VideoFilters(excluded_categories=("other",)), {10, 20, 30, 40, 50}),
        (VideoFilters(categories=()), set()),
        (VideoFilters(languages=("en", "")), {30}),
        (VideoFilters(languages=('d"e',)), {40}),
        (VideoFilters(min_duration_seconds=30), {30, 40, 50}),
        (VideoFilters(max_duration_seconds=30), {10, 30}),
        (VideoFilters(published_after=FIRST + timedelta(days=40)), {40, 50}),
        (VideoFilters(min_duration_seconds=10, max_duration_seconds=40, languages=("en",)), {30}),
    ],
)
def test_a_filter_lets_the_same_videos_through_everywhere(
    index: CandidateIndex, filters: VideoFilters, expected: set[int]
) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 5, exclude=NOTHING, filters=filters)
    assert {*hits.video_ids.ravel().tolist()} - {NO_VIDEO} == expected


def test_excluded_videos_make_room_for_the_next_best(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 2, exclude=np.array([10, 20, 77]))
    assert hits.video_ids.tolist() == [[30, 50], [40, 50]]


def test_asking_for_more_than_there_is_gives_all(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 50, exclude=np.array([50]))
    assert [sorted(row) for row in hits.video_ids.tolist()] == [[10, 20, 30, 40]] * 2


def test_everything_excluded_gives_nothing(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 3, exclude=VIDEO_IDS)
    assert hits.video_ids.shape == (2, 0)


def test_results_are_queries_by_hits_and_fit_the_merge(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL[:1], 3, exclude=NOTHING)
    assert (hits.video_ids.shape, hits.video_ids.dtype) == ((1, 3), np.int64)
    assert (hits.scores.shape, hits.scores.dtype) == ((1, 3), np.float32)


def test_a_living_index_passes_its_check(index: CandidateIndex) -> None:
    index.check()


@pytest.mark.server
def test_milvus_ranks_like_exact_search(settings: Settings, milvus: ServingSettings) -> None:
    video_ids = np.random.default_rng(1).permutation(5_000)[:1_000].astype(np.int64)
    vectors = unit_vectors(1_000, 16)
    queries, seen = unit_vectors(4, 16, seed=2), video_ids[::3]
    exact = exact_index(video_ids, vectors).search(queries, 50, exclude=seen)
    found = milvus_index(settings, milvus, video_ids, vectors).search(queries, 50, exclude=seen)
    assert found.video_ids.tolist() == exact.video_ids.tolist()
    assert found.scores == pytest.approx(exact.scores, abs=1e-5)


@pytest.mark.server
def test_a_missing_collection_is_unavailable_and_named(milvus: ServingSettings) -> None:
    index = MilvusIndex(MilvusConnection(milvus), "videos_gone", timeout_seconds=20.0, num_videos=5)
    with pytest.raises(IndexUnavailableError, match="videos_gone"):
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)
    with pytest.raises(IndexUnavailableError, match="no collection 'videos_gone'; publish"):
        index.check()


def test_no_milvus_is_unavailable_and_its_address_named() -> None:
    nowhere = ServingSettings(milvus_uri=f"http://127.0.0.1:{free_port()}")
    index = MilvusIndex(MilvusConnection(nowhere), "videos_x", timeout_seconds=1.0, num_videos=5)
    with pytest.raises(IndexUnavailableError, match=nowhere.milvus_uri):
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)


@pytest.mark.server
def test_a_milvus_that_hangs_is_unavailable_after_the_deadline(settings: Settings) -> None:
    milvus = slow_machine(free_port())
    with milvus_server(milvus, settings):
        milvus_index(settings, milvus, VIDEO_IDS, VECTORS)
        index = MilvusIndex(MilvusConnection(milvus), "videos_tiny_v1", timeout_seconds=0.5, num_videos=5)
        index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)
        (server,) = (
            child for child in psutil.Process().children() if str(milvus.milvus_port) in child.cmdline()
        )
        server.suspend()
        started = time.monotonic()
        with pytest.raises(IndexUnavailableError, match="search in 'videos_tiny_v1' failed"):
            index.search(COOKING_AND_FOOTBALL, 1, exclude=NOTHING)
        assert 0.4 < time.monotonic() - started < 3.0
        server.resume()
