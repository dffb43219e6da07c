"""Runs end up in MLflow, and a killed one disturbs nobody."""

import os
from pathlib import Path

import pytest

from features.settings import Settings
from training.settings import TrainingSettings
from training.tracking import NoTracker, tracked_run


@pytest.mark.slow
def test_params_curves_and_tags_are_kept_and_a_failed_run_is_marked(tmp_path: Path) -> None:
    settings, training = Settings(home=tmp_path), TrainingSettings()
    with tracked_run("popularity", settings=settings, training=training) as tracker:
        tracker.log_params({"window_days": 7})
        tracker.log_metrics({"loss": 2.0, "mean_cosine": None}, step=1)
        tracker.log_metrics({"loss": 1.5}, step=2)
        tracker.set_tag("bundle", "here")
    with (
        pytest.raises(ZeroDivisionError),
        tracked_run("popularity", settings=settings, training=training),
    ):
        _ = 1 / 0

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("facet/popularity")
    failed, finished = client.search_runs([experiment.experiment_id])
    assert (failed.info.status, finished.info.status) == ("FAILED", "FINISHED")
    assert finished.data.params == {"window_days": "7"}
    assert finished.data.tags["bundle"] == "here"
    assert [point.value for point in client.get_metric_history(finished.info.run_id, "loss")] == [2.0, 1.5]
    assert "mean_cosine" not in finished.data.metrics
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_tracking_can_be_switched_off(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with tracked_run("popularity", settings=settings, training=TrainingSettings(mlflow_uri="off")) as tracker:
        assert isinstance(tracker, NoTracker)
    assert not (tmp_path / "mlflow.db").exists()
