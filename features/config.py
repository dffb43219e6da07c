"""Limits of the data checks. The defaults suit a service that is used every day."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Severity = Literal["block", "warn"]
"""A failing ``block`` stops the stage; a failing ``warn`` is stored, logged and charted."""
CHECK_KINDS: Final = (
    "schema",
    "not_null",
    "unique",
    "partition",
    "range",
    "known_videos",
    "known_users",
    "quarantined",
    "volume",
    "freshness",
    "drift",
    "counts",
)
"""What an expectation is about; its name is ``<table>.<kind>`` or ``<table>.<kind>.<column>``."""
DEFAULT_SEVERITIES: Final[dict[str, Severity]] = {"drift": "warn", "known_users": "warn"}


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
    min_snapshot_ratio: float = Field(default=0.5, ge=0)
    """Fewer videos or users than this share of the snapshot before: the export was cut off."""
    max_silent_hours: float = Field(default=12.0, gt=0, le=24)
    """Longest time between the last event of a landing day and its end; more means a cut-off file."""
    max_unknown_videos: float = Field(default=0.05, ge=0, le=1)
    """Share of watches whose video is in no snapshot up to that day."""
    max_unknown_users: float = Field(default=0.05, ge=0, le=1)
    """Share of watches whose user is in no snapshot up to that day; judged where there are snapshots."""
    max_quarantined: float = Field(default=0.2, ge=0, le=1)
    """Share of a landing day's rows in quarantine; more means a broken producer, not some bad rows."""
    max_drift: float = Field(default=0.25, gt=0)
    """Population stability index of a column against the days before; usual reading: > 0.25 has shifted."""
    max_mean_ratio: float = Field(default=2.0, gt=1)
    """Mean watch seconds may be this many times more or less than the median of the days before."""
    min_drift_rows: int = Field(default=1000, ge=1)
    """Smaller days, and days with a smaller past, are too noisy to be judged for drift."""
    num_examples: int = Field(default=3, ge=1)
    """Failing rows shown per expectation."""
    kept_runs: int = Field(default=500, ge=1)
    """Stored results of so many runs are kept, the newest."""
    severities: dict[str, Severity] = Field(default=DEFAULT_SEVERITIES)
    """JSON: block or warn by kind, table.kind or table.kind.column; whatever is not named blocks."""

    @field_validator("severities")
    @classmethod
    def _names_are_known(cls, given: dict[str, Severity]) -> dict[str, Severity]:
        for name in given:
            kind = name if "." not in name else name.split(".")[1]
            if kind not in CHECK_KINDS:
                raise ValueError(f"severities: {name!r} names none of {', '.join(CHECK_KINDS)}")
        return DEFAULT_SEVERITIES | given

    def severity(self, check: str) -> Severity:
        """What a failure of ``check`` (``<table>.<kind>[.<column>]``) means; the longest name decides."""
        table, kind, *_ = check.split(".")
        for name in (check, f"{table}.{kind}", kind):
            if name in self.severities:
                return self.severities[name]
        return "block"
