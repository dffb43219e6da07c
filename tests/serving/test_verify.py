"""A collection is tried with interests of users before it goes live: does it find enough, soon enough?"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.bundle import Bundle, open_bundle
from features.days import end_of
from features.schema import ACTIONS, EVENT_TIMES, USER_ID, VIDEO_IDS
from features.settings import Settings
from features.snapshots import USER_HISTORY, VIEWS, snapshot_path
from serving.collection import build_collection, collection_name
from serving.errors import VerificationError
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex
from serving.publish import publish
from serving.recall import open_recaller
from serving.samples import SAMPLED_USERS, sampled_queries
from serving.settings import ServingSettings
from serving.verify import DEPTH, try_index, verify_collection
from tests.serving.bundles import VECTORS, exact_index, unit_vectors, write_interests, write_stored
from tests.serving.users import POSITIVE, timed, user

DAY = "2026-01-21"


def write_histories(settings: Settings, watched: dict[int, list[int]], day: str = DAY) -> None:
    """A snapshot of histories, every watch a positive; other views are empty."""
    newest = int(end_of(day).timestamp() * 1e6) - 1
    columns = {
        USER_ID: list(watched),
        VIDEO_IDS: list(watched.values()),
        EVENT_TIMES: [[newest] * len(videos) for videos in watched.values()],
        ACTIONS: [[POSITIVE] * len(videos) for videos in watched.values()],
    }
    for view in VIEWS:
        path = snapshot_path(settings, view, day)
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns if view == USER_HISTORY else {USER_ID: []}), path)


def as_lists(queries: list[np.ndarray]) -> list[list[list[float]]]:
    return sorted(each.round(3).tolist() for each in queries)


def test_queries_are_what_users_would_search_with(settings: Settings) -> None:
    # The extractor gives the vectors of the two newest watches; 999 is unknown to the bundle.
    write_histories(settings, {1: [10, 20], 2: [999, 40, 30], 3: [999]})
    bundle = open_bundle(write_interests(settings))
    found = as_lists(sampled_queries(bundle, bundle, settings))
    assert found == as_lists([VECTORS[[1, 0]], VECTORS[[2, 3]]])


def test_stored_interests_are_queries_of_their_bundle(settings: Settings) -> None:
    bundle = open_bundle(write_stored(settings, {7: [[1.0, 0.0], [0.0, 1.0]], 8: [[0.5, 0.75]]}))
    found = as_lists(sampled_queries(bundle, bundle, settings))
    assert found == [[[0.5, 0.75]], [[1.0, 0.0], [0.0, 1.0]]]


def test_videos_stand_in_where_no_user_is_known(settings: Settings) -> None:
    bundle = open_bundle(write_interests(settings))
    assert as_lists(sampled_queries(bundle, bundle, settings)) == as_lists(list(VECTORS[:, None]))


def test_a_sample_is_bounded_however_many_users_there_are(settings: Settings) -> None:
    write_histories(settings, {user_id: [10] for user_id in range(1000)})
    bundle = open_bundle(write_interests(settings))
    assert len(sampled_queries(bundle, bundle, settings)) == SAMPLED_USERS


def test_the_share_found_is_by_score_over_all_queries() -> None:
    # 400 videos along one line, 0 the best: of the best 100 an index with only the even ones finds 50.
    ids = np.arange(400)
    vectors = np.stack([1 - ids / 1000, np.zeros(400)], axis=1).astype(np.float32)
    half = exact_index(ids[::2], vectors[::2])
    queries = [np.array([[1.0, 0.0]], dtype=np.float32)] * 3
    assert DEPTH == 100
    assert try_index(half, vectors, queries)[0] == pytest.approx(0.5)
    assert try_index(exact_index(ids, vectors), vectors, queries)[0] == 1.0


def built(settings: Settings, milvus: ServingSettings) -> tuple[MilvusConnection, str, Bundle]:
    bundle, connection = open_bundle(write_interests(settings)), MilvusConnection(milvus)
    build_collection(connection, bundle, timeout_seconds=60.0)
    return connection, collection_name(bundle.manifest), bundle


@pytest.mark.server
def test_a_collection_that_is_too_slow_fails(settings: Settings, milvus: ServingSettings) -> None:
    connection, name, bundle = built(settings, milvus)
    with pytest.raises(VerificationError, match=r"takes \d+ ms.*raise FACET_PUBLISH_MAX_SEARCH_MS"):
        verify_collection(connection, name, bundle, timeout_seconds=60.0, max_search_ms=0.001)
    found = verify_collection(connection, name, bundle, timeout_seconds=60.0, max_search_ms=20_000.0)
    assert (found.num_rows, found.ann_recall) == (5, 1.0)
    assert 0.001 < found.search_ms < 20_000


@pytest.mark.server
@pytest.mark.slow
def test_a_release_on_a_real_milvus_finds_what_exact_search_finds(
    settings: Settings, real_milvus: ServingSettings, tmp_path: Path
) -> None:
    num_videos = 30_000  # enough for HNSW
    video_ids = np.random.default_rng(1).permutation(num_videos * 2)[:num_videos].astype(np.int64)
    # Sixty groups of videos that lie together, as trained vectors do.
    vectors = np.tile(unit_vectors(60, 32), (500, 1)) + 0.7 * unit_vectors(num_videos, 32, seed=3)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    path = write_interests(settings, video_ids=video_ids, vectors=vectors)
    rows = np.random.default_rng(2).integers(0, num_videos, (60, 2))
    write_histories(settings, {user_id: video_ids[own].tolist() for user_id, own in enumerate(rows)})
    publish([path], settings=settings, serving_settings=real_milvus)
    bundle = open_bundle(path)
    index = MilvusIndex(MilvusConnection(real_milvus), "videos_tiny_v1", timeout_seconds=60.0)
    share, _ = try_index(index, vectors, sampled_queries(bundle, bundle, settings))
    assert share >= 0.98
    watched = [int(video_ids[5]), int(video_ids[9])]
    served = open_recaller(
        settings, real_milvus, users=timed(user(1, [(each, POSITIVE) for each in watched]))
    )
    found = served.recall(1, 50)
    exact = exact_index(video_ids, vectors).search(vectors[[9, 5]], 50, exclude=np.array(watched))
    best = sorted(exact.scores.ravel().tolist(), reverse=True)[:50]
    assert [each.score for each in found.candidates] == pytest.approx(best, abs=1e-4)
