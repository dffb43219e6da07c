"""Settings of the aggregates; all but the engine change numbers, none but ``pair_*`` what a day stores."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_PAIR_PLACES: Final = 10
"""Positives of a user that a day hands to the next one's pairs."""


class AggregatesConfig(BaseModel):
    """Which engine computes, and how strongly small counts are smoothed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["duckdb", "spark"] = "duckdb"
    """What evaluates the expressions; both give equal rows."""
    spark_master: str = "local[*]"
    """Spark's master, where the engine is spark."""
    rate_prior: float = Field(default=20.0, ge=0)
    """Plays at the global rate that are added to every rate."""
    trend_prior: float = Field(default=10.0, gt=0)
    """Plays added to both sides of a trend, so that it is near 1 where there is little evidence."""
    affinity_prior: float = Field(default=10.0, gt=0)
    """Positives at everybody's shares that are added to a user's affinities."""
    affinity_half_life_days: float = Field(default=7.0, gt=0)
    """Age at which a watch counts half in an affinity."""
    pair_places: int = Field(default=3, ge=1, le=MAX_PAIR_PLACES)
    """Two positives of a user are a pair if they are at most so many places apart."""
    pair_gap_minutes: float | None = Field(default=None, gt=0)
    """A longer pause between neighbouring positives ends a session, and no pair crosses it; unset: no cut."""
