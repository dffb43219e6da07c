"""On logs with planted interests the model beats popularity; without any it must not, which finds leaks."""

from pathlib import Path

import numpy as np
import pytest

from features.bundle import open_bundle
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.errors import GateRefusedError
from training.evaluation import judge_bundle
from training.gate import judge, paired_interval
from training.recall_batch import recall_batch
from training.run import train, train_and_judge
from training.settings import TrainingSettings

pytestmark = pytest.mark.slow

UNTRACKED = TrainingSettings(mlflow_uri="off", train_threads=1)
SMALL = ["dim=32", "epochs=12", "batch_size=16", "refit_epochs=2", "num_negatives=256"]
START, END = at(7), at(8)


def trained(home: Path, *, noise: float) -> tuple[Path, Path, Settings]:
    """A single-activation and an all-time popularity bundle of one planted log."""
    settings = Settings(home=home)
    planted_log(settings, noise=noise)
    options = {"settings": settings, "training": UNTRACKED, "show_progress": False}
    model = train("single_activation", START, overrides=SMALL, **options)
    popularity = train("popularity", START, overrides=["window_days=none"], **options)
    return model, popularity, settings


def test_planted_interests_are_found(tmp_path: Path) -> None:
    model, popularity, settings = trained(tmp_path, noise=0.1)
    ours = judge_bundle(model, START, END, settings=settings)
    theirs = judge_bundle(popularity, START, END, settings=settings)
    low, _ = paired_interval(ours, theirs)
    assert low > 0.5, "half as many hits again, in the worst case"

    metrics = ours.metrics
    assert metrics["mean_cosine"] is not None
    assert metrics["mean_cosine"] < 0.8
    assert min(metrics[f"share_won_{k}"] or 0 for k in range(4)) > 0.03, "every interest wins something"
    assert judge(model, None, START, END, settings=settings).passed
    assert judge(model, model, START, END, settings=settings).interval == (0.0, 0.0)

    bundle = open_bundle(model)
    assert (bundle.manifest.num_interests, bundle.manifest.dim) == (4, 32)
    rows = recall_batch(model, np.array([0, 1, 12345]), START, 10, settings=settings)
    assert rows["user_id"].to_pylist() == [0] * 10 + [1] * 10 + [12345] * 10
    assert set(rows["interest"].to_pylist()[20:]) == {-1}
    assert rows["video_id"].to_pylist()[20:] == bundle.video_ids[:10].tolist()


def test_without_interests_in_the_log_nothing_is_found(tmp_path: Path) -> None:
    model, popularity, settings = trained(tmp_path, noise=1.0)
    ours = judge_bundle(model, START, END, settings=settings)
    theirs = judge_bundle(popularity, START, END, settings=settings)
    assert paired_interval(ours, theirs)[0] < 0.0


def test_the_gate_refuses_an_untrained_model_with_its_reasons(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.1)
    hopeless = [*SMALL, "epochs=1", "learning_rate=1e-9", "table_learning_rate=1e-9"]
    champion = train("single_activation", START, settings=settings, overrides=SMALL, training=UNTRACKED)
    with pytest.raises(GateRefusedError, match="is not released: recall_at_50 is"):
        train_and_judge(
            "single_activation", "2026-03-08", settings=settings, champion=champion, overrides=hopeless,
            training=UNTRACKED,
        )  # fmt: skip
