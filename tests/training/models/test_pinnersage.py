"""PinnerSage: SciPy's Ward, medoids, importance with decay; no training, and lists from what is stored."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.cluster.hierarchy import fcluster, ward

from features.bundle import (
    ITEM_VECTORS,
    USER_INTERESTS,
    VOCABULARY,
    Bundle,
    Manifest,
    item_table,
    open_bundle,
    write_bundle,
)
from features.errors import BadInputError
from features.lake import Lake
from features.settings import Settings
from features.user_vectors import pack_user_vectors, unpack_user_vectors
from features.vocabulary import Vocabulary
from tests.training.logs import at, planted_log, video, watch, write_log
from training.config import ModelConfig
from training.dataset import WatchLog
from training.embeddings import EmbeddingsConfig, trained_embeddings
from training.evaluation import judge_bundle
from training.models.pinnersage import PinnersageConfig, ward_clusters, watched_vectors
from training.ranked import Past
from training.run import train
from training.settings import TrainingSettings
from training.stored_ranker import StoredRanker

UNTRACKED = TrainingSettings(mlflow_uri="off")


def test_two_directions_are_two_interests_and_the_medoid_stands_for_its_cluster() -> None:
    vectors = np.array([[1, 0], [0.98, 0.199], [0.96, 0.28], [0, 1]])
    ages = np.array([0.0, 10, 20, 0])
    config = PinnersageConfig(decay=0.1, merge_distance=1.0, importance_power=0)
    found, weights = ward_clusters(vectors, ages, config)
    assert found == pytest.approx(np.array([[0.98, 0.199], [0, 1]]), abs=1e-4), (
        "the middle one of three is nearest to their mean"
    )
    assert weights == pytest.approx([1 + np.exp(-1) + np.exp(-2), 1])


@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_those_of_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(60, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = fcluster(ward(vectors), 1.2, criterion="distance")
    config = PinnersageConfig(
        merge_distance=1.2, decay=0, max_interests=1000, importance_power=0, is_mean=True
    )
    found, weights = ward_clusters(vectors, np.zeros(60), config)
    means = [vectors[labels == label].mean(axis=0) for label in np.unique(labels)]
    means = sorted((mean / np.linalg.norm(mean)).tolist() for mean in means)
    np.testing.assert_allclose(sorted(found.tolist()), means)
    assert sorted(weights.tolist()) == sorted(np.bincount(labels)[1:].tolist())


def test_the_most_important_clusters_are_kept_and_one_watch_is_a_cluster() -> None:
    vectors, ages = np.eye(3), np.array([5.0, 0, 1])
    found, weights = ward_clusters(
        vectors, ages, PinnersageConfig(max_interests=2, decay=1, merge_distance=0.5, importance_power=0.5)
    )
    assert found == pytest.approx(np.array([[0, 1, 0], [0, 0, np.exp(-0.5)]])), "importance shortens"
    assert weights == pytest.approx([1, np.exp(-1)])
    assert ward_clusters(vectors[:1], ages[:1], PinnersageConfig())[0].tolist() == [[1, 0, 0]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Bundle]:
    """Clusters over vectors that know the topics of the videos, by one process."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    lake = planted_log(settings, noise=0.0, num_users=100)
    watches = WatchLog(lake, at(7), ModelConfig().rule)
    video_ids = watches.watched_videos(at(7), 1)
    vectors = np.eye(12, dtype=np.float32)[video_ids % 12]

    def write(folder: Path) -> None:
        pq.write_table(item_table(video_ids, vectors, watches.videos()), folder / ITEM_VECTORS)
        pq.write_table(Vocabulary(video_ids).to_table(), folder / VOCABULARY)
        pq.write_table(pack_user_vectors(np.empty(0, dtype=np.int64), [], []), folder / USER_INTERESTS)

    manifest = Manifest(
        kind="stored_interests", model="topics", version="v1", created_at=at(7), code_commit="unknown",
        config={}, rule=ModelConfig().rule, data=watches.source(), num_videos=len(video_ids),
        num_interests=1, dim=12,
    )  # fmt: skip
    write_bundle(settings.bundles, manifest, write)
    overrides = ["vectors=topics/v1"]
    path = train("pinnersage", at(7), settings=settings, overrides=overrides, training=UNTRACKED)
    return settings, open_bundle(path)


def test_stored_interests_find_what_users_like(built: tuple[Settings, Bundle]) -> None:
    settings, bundle = built
    metrics = judge_bundle(bundle.path, at(7), at(8), settings=settings).metrics
    popular = train(
        "popularity", at(7), settings=settings, overrides=["window_days=none"], training=UNTRACKED
    )
    baseline = judge_bundle(popular, at(7), at(8), settings=settings).metrics
    assert (metrics["recall_at_20"] or 0) > 2 * (baseline["recall_at_20"] or 1)
    assert metrics["searches"] == pytest.approx(3, abs=0.1), "a user has three topics"


def test_the_number_of_interests_is_that_of_the_bundle_whoever_is_asked(
    built: tuple[Settings, Bundle],
) -> None:
    vectors = [np.eye(12, dtype=np.float32)[:1], np.eye(12, dtype=np.float32)[:3]]
    stored = pack_user_vectors(np.array([1, 2]), vectors, [np.ones(1), np.ones(3)])
    settings, bundle = built
    ranker = StoredRanker(stored, bundle.vocabulary, bundle.vectors)
    past = Past.read(WatchLog(Lake(settings), at(7), ModelConfig().rule), at(7))
    for users in ([1], [2], [404]):
        ranked = ranker.rank(past, np.array(users), 5)
        assert ranked.interests is not None
        assert ranked.interests.shape == (1, 3, 12)


def test_processes_change_nothing(built: tuple[Settings, Bundle]) -> None:
    settings, bundle = built
    overrides = [f"vectors={bundle.manifest.config['vectors']}"]
    two = TrainingSettings(mlflow_uri="off", train_threads=2)
    again = open_bundle(train("pinnersage", at(7), settings=settings, overrides=overrides, training=two))
    assert again.user_interests.equals(bundle.user_interests)


def test_what_is_clustered_is_what_the_extractor_makes_of_one_watch(tmp_path: Path) -> None:
    # Videos 0 and 1 are alike as something watched, and their item vectors are opposite.
    inputs = np.array([[0, 0], [1, 0], [2, 0], [0, 3]], dtype=np.float32)
    outputs = np.array([[0, 0], [0, 1], [0, -1], [1, 1]], dtype=np.float32)
    settings = Settings(home=tmp_path)
    watches = [watch(1, 7, 0.1), watch(1, 8, 0.2), watch(1, 9, 0.3)]
    log = WatchLog(write_log(settings, watches, [video(v) for v in (7, 8, 9)]), at(1), ModelConfig().rule)
    config = EmbeddingsConfig()
    trained = trained_embeddings(log, Vocabulary(np.array([7, 8, 9])), inputs, outputs, config)
    manifest = Manifest(
        kind="interests", model="item2vec", version="v1", created_at=at(1), code_commit="unknown",
        config={}, rule=config.rule, data=log.source(), num_videos=3, num_interests=1, dim=2,
        history_length=100,
    )  # fmt: skip
    write_bundle(settings.bundles, manifest, trained.write_files)
    source = open_bundle(settings.bundles / "item2vec" / "v1")
    assert watched_vectors(source) == pytest.approx(inputs[1:])
    overrides = ["vectors=item2vec/v1", "importance_power=0"]
    path = train("pinnersage", at(1), settings=settings, overrides=overrides, training=UNTRACKED)
    stored = open_bundle(path).user_interests.to_pylist()[0]
    own = unpack_user_vectors(stored["vectors_packed"], stored["weights_packed"])
    assert own is not None
    assert own.vectors.tolist() == [[1, 0], [0, 1]], "two clusters, at length 1"
    assert open_bundle(path).vectors.tolist() == outputs[1:].tolist()


def test_a_bundle_with_vectors_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="--set vectors="):
        train("pinnersage", at(7), settings=Settings(home=tmp_path), training=UNTRACKED)
