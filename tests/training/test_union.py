"""Two bundles that know different things are better together, with weights chosen on other users."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.evaluation import judge_bundle
from training.run import train
from training.settings import TrainingSettings
from training.union import tune_union

UNTRACKED = TrainingSettings(mlflow_uri="off")


def test_weights_are_chosen_on_one_half_and_judged_on_the_other(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.1, num_users=120)
    paths = [
        train(model, at(7), settings=settings, overrides=own, training=UNTRACKED)
        for model, own in (("item_cf", []), ("popularity", ["window_days=none"]))
    ]
    found = tune_union(paths, at(7), at(8), settings=settings)
    assert sum(found.merge.weights.values()) == pytest.approx(1)
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    assert found.bundles == dict(zip(("item_cf", "popular"), names, strict=True))
    assert list(found.merge.weights) == ["item_cf", "popular"]
    alone = [judge_bundle(path, at(7), at(8), settings=settings, half="tune").metrics for path in paths]
    best = max(metrics["recall_at_50"] or 0 for metrics in alone)
    # A channel alone is among what was tried.
    assert (found.tune["recall_at_50"] or 0) >= best
    report = judge_bundle(paths[0], at(7), at(8), settings=settings, half="report")
    assert found.report.user_ids.tolist() == report.user_ids.tolist()


def test_one_bundle_is_no_union(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="at least two"):
        tune_union([tmp_path], at(7), at(8), settings=Settings(home=tmp_path))
