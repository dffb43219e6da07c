"""Runs, curves, plots and registered bundles in MLflow. Nobody else imports it, and only a run does (6 s).

MLflow reports usage over the network unless it is told not to; it is told so before it is imported.
A killed run stays "running" in MLflow and disturbs nobody: every run is opened by its own id. Where MLflow
does not answer, that is logged once, and the run goes on without it.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import structlog

from features.links import MLFLOW_RUN, note_link
from features.settings import Settings
from training.settings import TrainingSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = structlog.get_logger(__name__)

QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # The defaults try a server that is away for four minutes; training does not wait for it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@runtime_checkable
class Tracker(Protocol):
    """Where a run reports to."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """The configuration, flat."""

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """Figures at one step; those that are ``None`` are left out."""

    def set_tag(self, key: str, value: str) -> None:
        """A remark such as the path of the bundle."""

    def log_figure(self, figure: "Figure", name: str) -> None:
        """A plot, as a file of that name among the run's artifacts."""

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Rows with the same keys, as a table of that name among the run's artifacts."""

    def register(self, bundle: Path) -> None:
        """Make the bundle a version of the registered model that is named like it."""


class NoTracker:
    """Reports to nobody."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """See ``Tracker``."""

    def log_metrics(self, metrics: Mapping[str, float | None], *, step: int = 0) -> None:
        """See ``Tracker``."""

    def set_tag(self, key: str, value: str) -> None:
        """See ``Tracker``."""

    def log_figure(self, figure: "Figure", name: str) -> None:
        """See ``Tracker``."""

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """See ``Tracker``."""

    def register(self, bundle: Path) -> None:
        """See ``Tracker``."""


class MlflowTracker:
    """One MLflow run; ``client`` is MLflow's own behind ``_Patient``."""

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

    def log_figure(self, figure: "Figure", name: str) -> None:
        """See ``Tracker``."""
        self._client.log_figure(self._run_id, figure, name)

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """See ``Tracker``."""
        columns = {key: [row.get(key) for row in rows] for key in rows[0]} if rows else {}
        self._client.log_table(self._run_id, columns, f"{name}.json")

    def register(self, bundle: Path) -> None:
        """See ``Tracker``."""
        model, version = f"facet-{bundle.parent.name}", bundle.name
        if not self._client.search_registered_models(f"name='{model}'"):
            self._client.create_registered_model(model)
        tags = {"bundle": str(bundle), "version": version}
        self._client.create_model_version(model, bundle.as_uri(), self._run_id, tags, description=version)


class _Patient:
    """MLflow's client, whose calls do nothing after the first that failed; to make it may fail too."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = cache(make)
        self._is_lost = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if self._is_lost:
                return None
            try:
                return getattr(self._make(), name)(*args, **kwargs)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                self._is_lost = True
                log.warning("MLflow does not answer; going on without it", call=name, error=str(error)[:500])
                return None

        return call


@contextmanager
def tracked_run(model: str, *, settings: Settings, training: TrainingSettings) -> Iterator[Tracker]:
    """A run of the experiment ``facet/<model>``, closed as finished or failed."""
    uri = training.tracking_uri(settings)
    client = None if uri is None else _connect(uri)
    experiment = client and _experiment(client, model, settings)
    run = client and experiment and client.create_run(experiment, run_name=model)
    if not (client and run):
        yield NoTracker()
        return
    run_id = run.info.run_id
    note_link(MLFLOW_RUN, f"{training.mlflow_url}/#/experiments/{experiment}/runs/{run_id}")
    status = "FAILED"
    try:
        yield MlflowTracker(client, run_id)
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def tracker_of(bundle: Path, *, settings: Settings, training: TrainingSettings) -> Tracker:
    """The run that made ``bundle``, to add what was found out later; nobody where it is not known."""
    uri = training.tracking_uri(settings)
    if uri is None:
        return NoTracker()
    client = _connect(uri)
    experiment = _experiment(client, bundle.parent.name, settings)
    runs = experiment and client.search_runs([experiment], f"tags.bundle = '{bundle}'", max_results=1)
    return MlflowTracker(client, runs[0].info.run_id) if runs else NoTracker()


def _connect(uri: str) -> Any:  # noqa: ANN401 - MLflow is not imported here
    """A client; a database and its tables are made on first use."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for chatter in ("mlflow", "alembic"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    return _Patient(lambda: MlflowClient(tracking_uri=uri))


def _experiment(client: Any, model: str, settings: Settings) -> str | None:  # noqa: ANN401
    """Id of the experiment ``facet/<model>``, made on first use; ``None`` where MLflow does not answer."""
    name = f"facet/{model}"
    with _lock(settings):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        made = client.create_experiment(name, artifact_location=(settings.root / "mlflow").as_uri())
        return None if made is None else str(made)


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Two first runs at once would both create the tables."""
    settings.root.mkdir(parents=True, exist_ok=True)
    with (settings.root / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
