"""Ports of the embedded stack beside those of serving, and its deadlines: what ``facet up`` reads."""

from pathlib import Path

from pydantic import Field

from features.settings import EnvironmentSettings


class StackSettings(EnvironmentSettings):
    """Read once, at start; everything listens on loopback only."""

    airflow_port: int = Field(default=8080, ge=1, le=65535, description="port of Airflow's UI and API")
    mlflow_port: int = Field(default=5000, ge=1, le=65535, description="port of the MLflow UI")
    feast_port: int = Field(default=8888, ge=1, le=65535, description="port of the Feast UI")
    ingest_deadline_seconds: int = Field(
        default=7200, ge=1, description="an ingest that is not done so long after it was queued is late"
    )
    train_deadline_seconds: int = Field(
        default=21600, ge=1, description="the same for the daily training and its gate"
    )


class DemoSettings(EnvironmentSettings):
    """What ``make demo`` tells the demo."""

    home: Path = Field(default=Path("var/demo"), description="folder of the demo; made anew by each run")
    install_seconds: float | None = Field(default=None, description="how long the installation took")
