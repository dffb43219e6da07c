"""Runs, curves and metrics in MLflow. The only module that imports it, and only when a run starts (6 s).

MLflow reports usage over the network unless it is told not to; it is told so before it is imported.
A killed run stays "running" in MLflow and disturbs nobody: every run is opened by its own id.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from features.settings import Settings
from training.settings import TrainingSettings


@runtime_checkable
class Tracker(Protocol):
    """Where a run reports to."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """The configuration, flat."""

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """Figures at one step; those that are ``None`` are left out."""

    def set_tag(self, key: str, value: str) -> None:
        """A remark such as the path of the bundle."""


class NoTracker:
    """Reports to nobody."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """See ``Tracker``."""

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """See ``Tracker``."""

    def set_tag(self, key: str, value: str) -> None:
        """See ``Tracker``."""


class MlflowTracker:
    """One MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:  # noqa: ANN401 - MLflow is not imported here
        self._client = client
        self._run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """See ``Tracker``."""
        for key, value in params.items():
            self._client.log_param(self._run_id, key, value)

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """See ``Tracker``."""
        for key, value in metrics.items():
            if value is not None:
                self._client.log_metric(self._run_id, key, value, step=step)

    def set_tag(self, key: str, value: str) -> None:
        """See ``Tracker``."""
        self._client.set_tag(self._run_id, key, value)


@contextmanager
def tracked_run(model: str, *, settings: Settings, training: TrainingSettings) -> Iterator[Tracker]:
    """A run of the experiment ``facet/<model>``, closed as finished or failed."""
    uri = training.tracking_uri(settings)
    if uri is None:
        yield NoTracker()
        return
    client, experiment = _connect(uri, model, settings)
    run_id = client.create_run(experiment, run_name=model).info.run_id
    status = "FAILED"
    try:
        yield MlflowTracker(client, run_id)
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _connect(uri: str, model: str, settings: Settings) -> tuple[Any, str]:
    """A client and the id of the experiment; both are made on first use."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from mlflow import MlflowClient

    for chatter in ("mlflow", "alembic"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    settings.root.mkdir(parents=True, exist_ok=True)
    with (settings.root / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first runs at once would both create the tables
        client = MlflowClient(tracking_uri=uri)
        name = f"facet/{model}"
        found = client.get_experiment_by_name(name)
        if found is not None:
            return client, found.experiment_id
        return client, client.create_experiment(name, artifact_location=(settings.root / "mlflow").as_uri())
