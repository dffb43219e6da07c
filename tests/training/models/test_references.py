"""Each reference model finds planted interests: it beats all-time popularity clearly on a small log."""

from pathlib import Path

import pytest

from features.settings import Settings
from tests.training.logs import at, planted_log
from training.evaluation import Judgement, judge_bundle
from training.gate import paired_interval
from training.run import train
from training.settings import TrainingSettings

pytestmark = pytest.mark.slow

UNTRACKED = TrainingSettings(mlflow_uri="off", train_threads=1)
SMALL = ["dim=32", "epochs=8", "batch_size=16", "refit_epochs=0", "num_negatives=256"]
START, END = at(7), at(8)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("planted"))
    planted_log(settings, noise=0.1)
    return settings


def judged(model: str, settings: Settings, overrides: list[str]) -> Judgement:
    bundle: Path = train(model, START, settings=settings, overrides=overrides, training=UNTRACKED)
    return judge_bundle(bundle, START, END, settings=settings)


@pytest.fixture(scope="module")
def popularity(settings: Settings) -> Judgement:
    return judged("popularity", settings, ["window_days=none"])


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("mean_pooling", []),
        ("sasrec", []),
        ("mind", []),
        ("comirec", []),
        ("comirec", ["routing=dr"]),
        ("remi", []),
    ],
)
def test_planted_interests_are_found(
    settings: Settings, popularity: Judgement, model: str, overrides: list[str]
) -> None:
    ours = judged(model, settings, SMALL + overrides)
    low, _ = paired_interval(ours, popularity)
    assert low > 0.5, "half as many hits again, in the worst case"
    shares = [share for name, share in ours.metrics.items() if name.startswith("share_won_")]
    assert shares
    assert min(share or 0.0 for share in shares) > 0.03, "every interest wins something"
