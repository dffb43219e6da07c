"""Interests online are those of the offline ranking; where the bundle reads profiles, one alone is enough."""

import numpy as np
import pytest

from features.bundle import Bundle, open_bundle
from features.profile import profile_of, tokens_of
from features.settings import Settings
from serving.interests import InterestExtractor
from tests.serving.users import user
from tests.training.logs import at, video, watch, write_log
from training.dataset import WatchLog
from training.ranked import Past
from training.ranking import open_ranker
from training.run import train
from training.settings import TrainingSettings

pytestmark = pytest.mark.slow

NEW_USERS = {98: "north", 99: "south"}
"""They never watched anything."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """People of the north watch videos 0-9, of the south 10-19."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    random = np.random.default_rng(0)
    regions = {u: "north" if u % 2 else "south" for u in range(40)} | NEW_USERS
    watches = [
        watch(u, int(v) + (0 if regions[u] == "north" else 10), (i + 1) / 3)
        for u in range(40)
        for i, v in enumerate(random.permutation(10)[:6])
    ]
    users = [{"user_id": u, "segment": "s", "profile": [f"region={region}"]} for u, region in regions.items()]
    write_log(settings, watches, [video(v) for v in range(20)], users)
    return settings


@pytest.fixture(scope="module")
def bundle(home: Settings) -> Bundle:
    overrides = [
        "profile_features=region,segment",
        "history_dropout=0.5",
        "learning_rate=0.01",
        "dim=8",
        "num_interests=2",
    ]
    overrides += ["epochs=1", "refit_epochs=20", "batch_size=8", "num_negatives=32", "validation_days=0.6"]
    training = TrainingSettings(mlflow_uri="off", train_threads=1)
    return open_bundle(
        train("single_activation", at(2.1), settings=home, overrides=overrides, show_progress=False,
              training=training)
    )  # fmt: skip


def test_a_user_gets_the_same_interests_online_and_offline(bundle: Bundle, home: Settings) -> None:
    from features.lake import Lake

    past = Past.read(WatchLog(Lake(home), at(2.1), bundle.manifest.rule), at(2.1))
    ids = np.array([0, 1, 98, 99])
    offline = open_ranker(bundle).rank(past, ids, 5)
    extractor = InterestExtractor(bundle)
    for place, (user_id, history) in enumerate(zip(ids.tolist(), past.histories.histories(ids), strict=True)):
        tokens = past.profiles.tokens_of(np.array([user_id])).to_pylist()[0]
        online = extractor.extract(user_id, history, at(2.1), tokens)
        assert online is not None
        np.testing.assert_allclose(online.vectors, offline.interests[place], atol=1e-6)
        np.testing.assert_array_equal(online.is_searched, offline.searched[place])


def test_a_user_without_history_gets_the_videos_of_the_profile(bundle: Bundle) -> None:
    extractor = InterestExtractor(bundle)
    for user_id, region in NEW_USERS.items():
        found = extractor.extract(user_id, user(user_id).history, at(2.1), [f"region={region}", "segment=s"])
        assert found is not None
        scores = (found.vectors[found.is_searched] @ bundle.vectors.T).max(axis=0)
        north, south = (
            scores[is_there].mean() for is_there in (bundle.video_ids < 10, bundle.video_ids >= 10)
        )
        assert (north - south if region == "north" else south - north) > 0.2


def test_a_user_of_whom_nothing_is_known_has_no_interests(bundle: Bundle) -> None:
    extractor = InterestExtractor(bundle)
    stranger = user(97)
    assert extractor.extract(97, stranger.history, at(2.1), tokens_of(stranger)) is None
    assert extractor.extract(97, stranger.history, at(2.1), ["region=west"]) is None


def test_the_bundle_names_the_attributes_that_it_reads(bundle: Bundle) -> None:
    vocabulary = profile_of(bundle)
    assert vocabulary is not None
    assert vocabulary.names == ("region", "segment")
