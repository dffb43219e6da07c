"""Where and how training runs on this machine: the environment variables of ``training/``."""

import os
from typing import Final

from pydantic import Field, PositiveFloat, PositiveInt

from features.settings import EnvironmentSettings, Settings

TRACKING_OFF: Final = "off"


class TrainingSettings(EnvironmentSettings):
    """Read once, at start, with ``TrainingSettings()``; only ``train_set`` changes what a model learns."""

    mlflow_uri: str | None = Field(
        default=None,
        description="MLflow tracking URI; unset: SQLite in FACET_HOME; 'off': no tracking",
    )
    mlflow_url: str = Field(
        default="http://127.0.0.1:5000", description="where a browser finds MLflow; links to runs lead there"
    )
    train_threads: PositiveInt = Field(
        default=1,
        description="CPU threads of PyTorch; more only pay on an idle machine, where nothing else runs",
    )

    train_models: str = Field(
        default="popularity,single_activation",
        description="what the daily training trains, names of models with commas between",
    )
    train_set: dict[str, tuple[str, ...]] = Field(
        default={},
        description="what the daily training sets, JSON by model: "
        '{"single_activation": ["assignment=max_readout"]}',
    )
    train_checkpoint_seconds: PositiveFloat = Field(
        default=120.0,
        description="a training run saves its state so often, and at the end of each epoch",
    )

    @property
    def models(self) -> list[str]:
        """The names of ``train_models``."""
        return [name.strip() for name in self.train_models.split(",") if name.strip()]

    @property
    def num_processes(self) -> int:
        """Processes that train together, as ``torchrun`` announces them."""
        return int(os.environ.get("WORLD_SIZE", "1"))

    def tracking_uri(self, settings: Settings) -> str | None:
        """The URI to track to, or ``None`` when tracking is off."""
        if self.mlflow_uri == TRACKING_OFF:
            return None
        return self.mlflow_uri or f"sqlite:///{settings.root / 'mlflow.db'}"
