"""Runs end up in MLflow, and a killed one disturbs nobody."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from features.ingest import ingest
from features.links import MLFLOW_RUN, NOTED
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from training.errors import GateRefusedError
from training.run import train_and_judge
from training.settings import TrainingSettings
from training.tracking import NoTracker, tracked_run

CONFIG: Final = SimulationConfig(
    num_users=80, num_videos=200, num_uploaders=30, num_topics=10, num_days=4, last_day="2026-03-04"
)


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

    client = mlflow_of(tmp_path)
    experiment = client.get_experiment_by_name("facet/popularity")
    failed, finished = client.search_runs([experiment.experiment_id])
    assert (failed.info.status, finished.info.status) == ("FAILED", "FINISHED")
    assert finished.data.params == {"window_days": "7"}
    assert finished.data.tags["bundle"] == "here"
    assert [point.value for point in client.get_metric_history(finished.info.run_id, "loss")] == [2.0, 1.5]
    assert "mean_cosine" not in finished.data.metrics
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nothing"])
def test_a_server_that_is_away_is_told_once_and_the_run_goes_on(tmp_path: Path, uri: str) -> None:
    settings, training = Settings(home=tmp_path), TrainingSettings(mlflow_uri=uri)
    with capture_logs() as logs, tracked_run("popularity", settings=settings, training=training) as tracker:
        tracker.log_params({"window_days": 7})
        tracker.set_tag("bundle", "here")
    assert [line["event"] for line in logs] == ["MLflow does not answer; going on without it"]


@pytest.mark.slow
def test_a_server_that_goes_away_meanwhile_does_not_stop_the_run(tmp_path: Path) -> None:
    settings, training = Settings(home=tmp_path), TrainingSettings()
    with capture_logs() as logs, tracked_run("popularity", settings=settings, training=training) as tracker:
        (tmp_path / "mlflow.db").unlink()
        tracker.log_params({"window_days": 7})
        tracker.log_metrics({"loss": 1.0})
    assert [line["event"] for line in logs] == ["look at", "MLflow does not answer; going on without it"]


@pytest.mark.slow
def test_a_judged_bundle_is_a_version_with_the_gates_figures_and_plots(tmp_path: Path) -> None:
    settings, training = Settings(home=tmp_path), TrainingSettings()
    simulate(CONFIG, settings)
    ingest(CONFIG.days, settings=settings)
    overrides = ["epochs=2", "refit_epochs=0", "num_interests=3"]
    day = CONFIG.days[-1]
    with suppress(GateRefusedError):  # two epochs need not pass
        train_and_judge(
            "single_activation", day, settings=settings, champion=None, overrides=overrides, training=training
        )
    client = mlflow_of(tmp_path)
    [run] = client.search_runs([client.get_experiment_by_name("facet/single_activation").experiment_id])
    assert run.data.params["num_interests"] == "3"
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 2
    assert "gate_recall_at_50" in run.data.metrics
    assert "gate" in run.data.tags
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        "gate.json",
        "interest_activation.png",
        "interest_similarity.png",
        "recall_at_50_by_history.png",
        "recall_at_50_by_tag_entropy.png",
    }
    [version] = client.search_model_versions("name='facet-single_activation'")
    assert version.source == Path(run.data.tags["bundle"]).as_uri()
    assert NOTED[MLFLOW_RUN].endswith(f"/runs/{run.info.run_id}")


def mlflow_of(home: Path) -> Any:  # noqa: ANN401 - MLflow is not imported here
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")


def test_tracking_can_be_switched_off(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with tracked_run("popularity", settings=settings, training=TrainingSettings(mlflow_uri="off")) as tracker:
        assert isinstance(tracker, NoTracker)
    assert not (tmp_path / "mlflow.db").exists()
