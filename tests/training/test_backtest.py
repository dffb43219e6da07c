"""A backtest trains and judges once per window, and says how much the windows differ."""

import math
from pathlib import Path

import pytest

from features.bundle import open_bundle
from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.backtest import Window, backtest, mean_and_spread
from training.evaluation import evaluate
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")


def test_windows_count_the_same_and_spread_is_between_them() -> None:
    mean, spread = mean_and_spread([{"a": 0.1, "b": None}, {"a": 0.2, "b": 3.0}, {"a": 0.6, "b": None}])
    # Deviations from .3: -.2, -.1, .3; squares .04 + .01 + .09 = .14 over 3 - 1.
    assert mean == {"a": pytest.approx(0.3), "b": 3.0}
    assert spread == {"a": pytest.approx(math.sqrt(0.07)), "b": None}


def test_a_window_judges_only_what_comes_later() -> None:
    with pytest.raises(BadInputError, match="until <= start < end"):
        Window(at(2), at(1), at(3))


def test_no_windows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="at least one window"):
        backtest("popularity", [], settings=Settings(home=tmp_path))


@pytest.mark.slow
def test_each_window_has_its_own_bundle_and_days(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    windows = [Window(at(2), at(2), at(3)), Window(at(3), at(3), at(4))]
    found = backtest(
        "popularity", windows, settings=settings, overrides=["window_days=none"], training=UNTRACKED
    )
    for window, bundle, metrics in zip(windows, found.bundles, found.per_window, strict=True):
        assert open_bundle(bundle).manifest.data.until == window.until
        assert metrics == evaluate(bundle, window.start, window.end, settings=settings)
    first, second = (metrics["recall_at_20"] or 0 for metrics in found.per_window)
    assert found.mean["recall_at_20"] == pytest.approx((first + second) / 2)
    # Of two values the sample deviation is their distance over the root of two.
    assert found.spread["recall_at_20"] == pytest.approx(abs(first - second) / math.sqrt(2))
