"""A newer trend in an old model: everything else stays, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from features.bundle import ITEM_ENCODER, NEIGHBOURS, VOCABULARY, open_bundle
from features.errors import BadInputError
from features.item_encoder import encode_videos
from features.lake import Lake
from features.settings import Settings
from features.trend import trend_factors
from tests.training.logs import at, planted_log
from training.config import TrendConfig
from training.dataset import WHOLE_PAST, WatchLog
from training.gate import judge
from training.refresh import refresh_trend
from training.run import train
from training.settings import TrainingSettings
from training.trend import trend_of

UNTRACKED = TrainingSettings(mlflow_uri="off")
TREND = ["trend.power=0.7", "trend.window_days=1"]
VECTORS = ["epochs=1", "dim=8"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    planted_log(settings, noise=0.1, num_users=60, num_videos=60)
    return settings


def trained(model: str, settings: Settings, *overrides: str) -> Path:
    return train(
        model, at(6), settings=settings, overrides=overrides, training=UNTRACKED, show_progress=False
    )


def factors_at(day: float, settings: Settings, bundle: Path) -> np.ndarray:
    opened = open_bundle(bundle)
    log = WatchLog(Lake(settings), at(day), opened.manifest.rule)
    config = TrendConfig(power=0.7, window_days=1.0)
    return trend_of(log.sequences(at(day), WHOLE_PAST), opened.vocabulary, at(day), config)


def test_weights_change_by_the_factors_alone(settings: Settings) -> None:
    old = trained("item_cf", settings, *TREND)
    assert trend_factors(open_bundle(old)) == pytest.approx(factors_at(6, settings, old))
    same, new = (refresh_trend(old, at(day), settings=settings) for day in (6, 8))
    assert (same / NEIGHBOURS).read_bytes() == (old / NEIGHBOURS).read_bytes()
    before, after = open_bundle(old), open_bundle(new)
    assert trend_factors(after) == pytest.approx(factors_at(8, settings, old))
    change = trend_factors(after) / trend_factors(before)
    rows = before.vocabulary.rows_of(before.neighbours["neighbour_id"].to_numpy()) - 1
    ratio = after.neighbours["weight"].to_numpy() / before.neighbours["weight"].to_numpy()
    assert ratio == pytest.approx(change[rows], rel=1e-5)
    assert np.ptp(change) > 0.1, "the trend moved at all"
    assert (after.manifest.refreshed_from, after.manifest.trend_until) == (before.name, at(8))
    assert (after.manifest.data, after.manifest.config) == (before.manifest.data, before.manifest.config)


@pytest.mark.slow
def test_vectors_change_in_their_last_coordinate_alone(settings: Settings) -> None:
    old = trained("mean_pooling", settings, *TREND, *VECTORS)
    new = refresh_trend(old, at(8), settings=settings)
    before, after = open_bundle(old), open_bundle(new)
    assert np.array_equal(after.vectors[:, :-1], before.vectors[:, :-1])
    assert after.vectors[:, -1] == pytest.approx(np.log(factors_at(8, settings, old)), abs=1e-6)
    assert after.items.drop_columns("vector") == before.items.drop_columns("vector")
    for name in (VOCABULARY, ITEM_ENCODER, "extractor.onnx"):
        assert (new / name).read_bytes() == (old / name).read_bytes()
    for bundle in (before, after):
        assert encode_videos(bundle, bundle.items) == pytest.approx(bundle.vectors, abs=1e-5)


def test_a_refreshed_bundle_is_judged_on_later_days(settings: Settings) -> None:
    new = refresh_trend(trained("item_cf", settings, *TREND), at(7), settings=settings)
    with pytest.raises(BadInputError, match="judge on later days"):
        judge(new, None, at(6), at(7), settings=settings)


def test_what_cannot_be_refreshed_says_why(settings: Settings) -> None:
    with pytest.raises(BadInputError, match="has no trend; train it with --set trend"):
        refresh_trend(trained("item_cf", settings), at(7), settings=settings)
    with pytest.raises(BadInputError, match="knows what happened until"):
        refresh_trend(trained("item_cf", settings, *TREND), at(5), settings=settings)
