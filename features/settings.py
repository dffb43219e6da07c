"""Where things lie: the environment variables that every part reads, and the folders below FACET_HOME."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from features.aggregates.config import AggregatesConfig
from features.config import ValidationConfig
from features.errors import BadInputError
from features.positives import PositiveRule
from features.redis_address import split_password

SECRETS_DIR: Final = "FACET_SECRETS_DIR"


class EnvironmentSettings(BaseSettings):
    """Environment variables ``FACET_*``; those that are not set may be files of the folder FACET_SECRETS_DIR.

    A file is named like the variable, in either case, as container engines mount secrets.
    """

    model_config = SettingsConfigDict(env_prefix="FACET_", frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then files.

        Raises:
            BadInputError: FACET_SECRETS_DIR is no folder; a service without its secrets must not start.
        """
        folder = os.environ.get(SECRETS_DIR)
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise BadInputError(
                f"{SECRETS_DIR} is {folder}, which is no folder; mount it or unset the variable"
            )
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)


class Settings(EnvironmentSettings):
    """Read once, at start, with ``Settings()``; tests pass their own ``Settings(home=tmp_path)``."""

    # A database URL or a Redis address may hold a password: what pydantic finds wrong is told without it.
    model_config = SettingsConfigDict(env_nested_delimiter="__", hide_input_in_errors=True)

    home: Path = Field(default=Path("var"), description="folder that holds everything Facet writes")
    database_url: str | None = Field(
        default=None, description="SQL database of the release registry and of Feast's registry"
    )
    redis: str | None = Field(
        default=None,
        description="online feature store as Feast writes it, host:port or host:port,ssl=true and the like; "
        "SQLite below FACET_HOME if unset",
    )
    redis_password: SecretStr | None = Field(
        default=None, description="password of FACET_REDIS; one that is part of the address counts too"
    )
    landing_uri: str | None = Field(
        default=None,
        description="where ingest finds landing files, e.g. s3://bucket/landing; FACET_HOME/landing if unset",
    )
    offline_store: Literal["duckdb", "spark"] = Field(
        default="duckdb",
        description="engine of Feast's point-in-time joins; spark runs on FACET_AGGREGATES__SPARK_MASTER",
    )
    rule: PositiveRule = Field(
        default=PositiveRule(), description="what is a positive where logs do not say, one variable per field"
    )
    validation: ValidationConfig = Field(
        default=ValidationConfig(), description="limits of the data checks, one variable per field"
    )

    aggregates: AggregatesConfig = Field(
        default=AggregatesConfig(),
        description="engine and smoothing of the aggregates, one variable per field",
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_the_password_apart(cls, values: dict[str, Any]) -> dict[str, Any]:
        """``redis`` is shown and logged; a password in it becomes ``redis_password``."""
        if not values.get("redis"):
            return values
        address, password = split_password(values["redis"])
        if password is None:
            return values
        if values.get("redis_password") is not None:
            raise ValueError("FACET_REDIS holds a password and FACET_REDIS_PASSWORD is set; keep one of them")
        return {**values, "redis": address, "redis_password": password}

    @cached_property
    def root(self) -> Path:
        """FACET_HOME, absolute: Airflow, Feast and pytest start in different folders."""
        return self.home.absolute()

    @property
    def landing(self) -> Path:
        """Incoming files: ``landing/<table>/<UTC day>/<any name>.{jsonl,csv,parquet}[.gz|.zst]``."""
        return self.root / "landing"

    @property
    def spool(self) -> Path:
        """Rows that serving received and that are not in the landing area yet."""
        return self.root / "spool"

    @property
    def staging(self) -> Path:
        """Partitions that are not validated yet; nobody but ingest reads them."""
        return self.root / "staging"

    @property
    def lake(self) -> Path:
        """Curated Delta tables."""
        return self.root / "lake"

    @property
    def quarantine(self) -> Path:
        """Rows that ingest refused, with file, line, rule and raw text."""
        return self.root / "quarantine"

    @property
    def reports(self) -> Path:
        """What each run of ingest, validation and materialize counted, as JSON; Data Docs as HTML."""
        return self.root / "reports"

    @property
    def metrics(self) -> Path:
        """What each batch task saw last, as Prometheus reads it; serving appends it to its own metrics."""
        return self.root / "metrics"

    @property
    def feast(self) -> Path:
        """Feast's registry, offline Parquet exports and SQLite online store."""
        return self.root / "feast"

    @property
    def bundles(self) -> Path:
        """Trained models: ``bundles/<model>/<version>``."""
        return self.root / "bundles"

    @property
    def truth(self) -> Path:
        """Planted interests of simulated logs, for people who compare; no model and no answer reads them."""
        return self.root / "truth"

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the release registry."""
        return self.database_url or f"sqlite:///{self.root / 'facet.db'}"
