"""A bundle gives vectors to any curated video: the stored ones, or those of its fields."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import Bundle, open_bundle
from features.item_encoder import encode_videos
from features.lake import Lake, curated_schema
from features.schema import VIDEOS
from features.settings import Settings
from tests.training.logs import FIRST_DAY, at, planted_log, video
from training.run import train
from training.settings import TrainingSettings

pytestmark = pytest.mark.slow
TINY = ["epochs=1", "refit_epochs=0", "dim=8", "num_interests=2", "num_layers=0", "num_negatives=50"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    planted_log(settings, noise=0.0, num_users=40, num_videos=60, num_days=3)
    return settings


def trained(settings: Settings, *overrides: str) -> Bundle:
    training = TrainingSettings(mlflow_uri="off")
    more = [*TINY, *overrides]
    path = train(
        "single_activation", at(3), settings=settings, overrides=more, show_progress=False, training=training
    )
    return open_bundle(path)


@pytest.fixture(scope="module")
def bundle(settings: Settings) -> Bundle:
    return trained(
        settings, "side_features=uploader_id,tag_ids,duration", "id_dropout=0.2", "trend.power=0.5"
    )


def cold(*videos: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(videos), schema=curated_schema(VIDEOS))


def test_known_videos_have_their_stored_vectors(settings: Settings, bundle: Bundle) -> None:
    lake = Lake(settings)
    videos = lake.read_days(VIDEOS, [f"{FIRST_DAY:%Y-%m-%d}"])
    rows = bundle.vocabulary.rows_of(videos["video_id"].to_numpy())
    known = rows > 0
    assert known.sum() == len(bundle.vectors)
    vectors = encode_videos(bundle, videos)
    np.testing.assert_allclose(vectors[known], bundle.vectors[rows[known] - 1], atol=1e-5)


def test_a_video_that_training_never_saw_sits_with_those_of_its_tag(bundle: Bundle) -> None:
    like_4, like_5 = encode_videos(bundle, cold(video(900, 4), video(901, 5)))
    again = encode_videos(bundle, cold(video(902, 5, 77, 78, title="new")))
    np.testing.assert_allclose(again[0], like_5, atol=1e-6, err_msg="unknown tags say nothing")
    assert np.linalg.norm(like_4[:-1]) == pytest.approx(1.0, abs=1e-5)
    assert like_4[-1] == 0, "watched as usual, says the coordinate of the trend"
    tags = np.array([t[0] for t in bundle.items["tag_ids"].to_pylist()])
    of_tag = bundle.vectors[tags == 4][:, :-1].mean(axis=0)
    assert of_tag @ like_4[:-1] > of_tag @ like_5[:-1]


def test_a_video_of_which_nothing_is_known_gets_zeros(settings: Settings, bundle: Bundle) -> None:
    unknown = cold({"video_id": 900, "uploader_id": 99, "tag_ids": None, "is_online": True})
    assert not encode_videos(bundle, unknown).any()
    plain = trained(settings)
    assert not encode_videos(plain, cold(video(900, 4))).any(), "no side features: known by its row alone"
    assert encode_videos(plain, cold()).shape == (0, 8)


def test_bundles_without_side_features_hold_no_fields(settings: Settings, tmp_path: Path) -> None:
    assert trained(settings).item_fields.names == ()
