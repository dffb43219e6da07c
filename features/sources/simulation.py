"""Configuration of a simulated short-video app, and what one simulation reports."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from features.days import add_days, start_of
from features.sources.topics import MAX_TOPICS


class SimulationConfig(BaseModel):
    """The defaults are the demo: 3,000 users and 5,000 videos over three weeks, half a million watches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last_day: str = Field(default="2026-11-20", description="last simulated UTC day, YYYY-MM-DD")
    num_days: int = Field(default=21, ge=1, description="days simulated, last_day included")
    num_users: int = Field(default=3000, ge=1, description="users registered by the end of the last day")
    num_videos: int = Field(default=5000, ge=1, description="videos published by the end of the last day")
    num_uploaders: int = Field(default=800, ge=1, description="uploaders; most videos come from few of them")
    num_topics: int = Field(default=40, ge=2, le=MAX_TOPICS, description="topics, each with eight tags")
    seed: int = Field(default=7, ge=0, description="same seed and configuration: same bytes")
    noise: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="share of watches whose choice and outcome ignore the user's interests; 1: all of them",
    )
    dirt: float = Field(
        default=0,
        ge=0,
        le=0.5,
        description="share of watches that are late, or get a duplicate, malformed or clock-skewed twin",
    )
    mean_watches: float = Field(default=10, gt=0, description="mean watches of a user on a day, before skips")
    activity_sigma: float = Field(default=0.7, ge=0, description="spread of the log of a user's activity")
    popular_share: float = Field(
        default=0.12, ge=0, le=1, description="share of watches of what is popular with everyone"
    )
    explore_share: float = Field(default=0.05, ge=0, le=1, description="share of watches of any video at all")
    niche_share: float = Field(
        default=0.8, ge=0, le=1, description="share of watches within a topic that go to its favourite tags"
    )
    mood_share: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="share of a page's personal watches that follow its first interest",
    )
    drift_per_day: float = Field(
        default=0.02, ge=0, le=1, description="chance that one of a user's interests begins to be replaced"
    )
    drift_days: int = Field(default=6, ge=1, description="days that a replacement takes")
    rewatch_share: float = Field(
        default=0.02, ge=0, le=1, description="chance that a known video is shown again"
    )
    new_users_per_day: float = Field(
        default=0.005, ge=0, le=0.04, description="share of users registered per day"
    )
    new_videos_per_day: float = Field(
        default=0.01, ge=0, le=0.04, description="share of videos published per day"
    )
    offline_per_day: float = Field(
        default=0.001, ge=0, le=0.1, description="share of videos withdrawn per day"
    )
    zipf_exponent: float = Field(default=0.8, ge=0, description="popularity of rank r is r ** -exponent")
    tag_noise: float = Field(
        default=0.15, ge=0, le=1, description="share of videos with a tag of a foreign topic"
    )
    files_per_day: int = Field(default=2, ge=1, le=64, description="files of watches per day")

    @field_validator("last_day")
    @classmethod
    def _is_a_day(cls, day: str) -> str:
        start_of(day)
        return day

    @model_validator(mode="after")
    def _shares_fit(self) -> "SimulationConfig":
        if self.popular_share + self.explore_share > 1:
            raise ValueError(
                f"popular_share {self.popular_share} + explore_share {self.explore_share} must not exceed 1"
            )
        return self

    @property
    def days(self) -> list[str]:
        """The simulated days, oldest first."""
        return [add_days(self.last_day, i - self.num_days + 1) for i in range(self.num_days)]


@dataclass(frozen=True)
class SimulationReport:
    """What one simulation wrote."""

    days: list[str]
    num_events: int
    """Distinct well-formed watches; duplicates and broken twins come on top."""
    rows: dict[str, dict[str, int]]
    """Table -> landing day -> rows in its files."""
    dirt: dict[str, int]
    """Kind -> rows."""
    seconds: float
    """Wall time."""
