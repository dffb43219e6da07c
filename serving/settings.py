"""Settings of serving: environment variables ``FACET_*``, read once at start."""

from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from features.merge_config import MergeConfig
from features.settings import EnvironmentSettings

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
PagesMode = Literal["auto", "open", "key", "off"]


class ServingSettings(EnvironmentSettings):
    """Read once, at start, with ``ServingSettings()``; tests pass their own values."""

    host: str = Field(default="127.0.0.1", description="address that the API listens on")
    port: int = Field(default=8000, ge=1, le=65535, description="port that the API listens on")
    milvus_uri: str = Field(
        default="http://127.0.0.1:19530",
        description="Milvus; a loopback address that does not answer is served by an embedded Milvus Lite",
    )
    milvus_token: SecretStr | None = Field(
        default=None, description="credentials of Milvus as user:password or API key; none if unset"
    )
    features_timeout_ms: int = Field(
        default=500, ge=1, description="deadline of the look-up in the feature store; then popular videos"
    )
    search_timeout_ms: int = Field(
        default=1000, ge=1, description="deadline of the channels; one that is late is left out"
    )
    release_poll_seconds: float = Field(
        default=2.0, gt=0, description="how often serving looks whether another release is live"
    )
    merge: MergeConfig | None = Field(
        default=None,
        description="how daily releases merge channels, JSON as of facet union --out; unset: as the live one",
    )
    exposures: bool = Field(
        default=True, description="whether answers are recorded in the landing area as exposures"
    )
    admin_key: SecretStr | None = Field(
        default=None, description="what X-API-Key of the admin routes must say; without it they are off"
    )
    pages: PagesMode = Field(
        default="auto",
        description="explorer and operations page: open, key (the admin key is the password), off; "
        "auto: open on loopback, key elsewhere",
    )
    index_check_seconds: float = Field(
        default=60.0,
        ge=0,
        description="how often the newest search is compared with exact search; 0: never",
    )
    serving_url: str = Field(
        default="http://127.0.0.1:8000", description="where a browser finds the API; Airflow shows its pages"
    )
    airflow_url: str | None = Field(
        default=None,
        description="Airflow whose runs the operations page shows, and that may show the pages in frames; "
        "facet up sets its own",
    )
    airflow_api_url: str | None = Field(
        default=None, description="where this process finds that Airflow; FACET_AIRFLOW_URL if unset"
    )
    airflow_user: str = Field(default="serving", description="who asks Airflow for its runs")
    airflow_password: SecretStr | None = Field(
        default=None, description="password of FACET_AIRFLOW_USER; unset: Airflow lets everybody in"
    )
    otel_endpoint: str | None = Field(
        default=None,
        description="where traces go, e.g. http://127.0.0.1:4318/v1/traces (OTLP over HTTP); none if unset",
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="log of the API: lines for people, or one JSON object per event"
    )
    rate_limit: str | None = Field(
        default=None, description="most requests of one address, such as 100/second; unset: no limit"
    )
    publish_timeout_seconds: float = Field(
        default=600.0, gt=0, description="deadline of one call that loads or verifies a collection"
    )
    publish_max_search_ms: float = Field(
        default=500.0, gt=0, description="a new collection whose median search takes longer does not go live"
    )

    @field_validator("rate_limit")
    @classmethod
    def _rate_can_be_read(cls, rate: str | None) -> str | None:
        if rate is not None:
            from limits import parse

            parse(rate)
        return rate

    @property
    def milvus_host(self) -> str:
        """Host of ``milvus_uri``."""
        return urlsplit(self.milvus_uri).hostname or ""

    @property
    def milvus_port(self) -> int:
        """Port of ``milvus_uri``."""
        return urlsplit(self.milvus_uri).port or 19530

    @property
    def may_embed_milvus(self) -> bool:
        """Whether Facet may start its own Milvus Lite: only on this machine, and never with credentials."""
        return self.milvus_host in LOOPBACK and self.milvus_token is None
