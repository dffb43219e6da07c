"""Limits of the data checks. The defaults suit a service that is used every day."""

from pydantic import BaseModel, ConfigDict, Field


class ValidationConfig(BaseModel):
    """When a staged partition is refused as a whole (``FACET_VALIDATION__<FIELD>`` overrides a field)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    baseline_days: int = Field(default=7, ge=1)
    """Row counts are compared with the median of this many days before."""
    min_baseline_days: int = Field(default=3, ge=1)
    """With fewer days before it, a day's row count is not judged."""
    min_row_ratio: float = Field(default=0.2, ge=0)
    """Fewer rows than this share of the median: part of the logs is missing."""
    max_row_ratio: float = Field(default=5.0, gt=0)
    """More rows than this multiple of the median: something is logged twice."""
    max_silent_hours: float = Field(default=12.0, gt=0, le=24)
    """Longest time between the last event of a landing day and its end; more means a cut-off file."""
    max_unknown_videos: float = Field(default=0.05, ge=0, le=1)
    """Share of watches whose video is in no snapshot up to that day."""
    max_quarantined: float = Field(default=0.2, ge=0, le=1)
    """Share of a landing day's rows in quarantine; more means a broken producer, not some bad rows."""
    num_examples: int = Field(default=3, ge=1)
    """Failing rows shown per expectation."""
