"""An expectation about the rows of one table and day: a figure that SQL measures, and its bounds.

DuckDB measures all figures of a day in one pass; Great Expectations judges the figures. Great Expectations
over the rows themselves costs five to ten times plain SQL and needs the whole day in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Passes if ``low <= figure <= high``."""

    name: str
    """``<table>.<kind>`` or ``<table>.<kind>.<column>``; the severity hangs on it."""
    says: str
    """What is expected, in words."""
    sql: str
    """An aggregate over the view ``rows``: a figure, or, if ``is_share``, a number of failing rows."""
    low: float | None = None
    high: float | None = None
    is_share: bool = False
    """Whether the figure is the measured number divided by the number of rows."""
    examples: str | None = None
    """Query of the rows that fail."""
    observed: str | None = None
    """What was seen, in words, where it is known before anything is measured."""

    @property
    def limit(self) -> str:
        """The bounds, in words."""
        shown = f"{self.high:.0%}" if self.is_share and self.high else None
        low = "" if self.low is None else f"at least {_text(self.low)}"
        high = "" if self.high is None else f"at most {shown or _text(self.high)}"
        return ", ".join(text for text in (low, high) if text)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured for one check."""

    check: Check
    value: float
    num_rows: int
    num_failing: int | None
    """Rows that fail; ``None`` where the figure is not about single rows."""

    @property
    def observed(self) -> str:
        """What was seen, in words."""
        if self.check.observed:
            return self.check.observed
        if self.num_failing is not None:
            return f"{self.num_failing} of {self.num_rows} rows fail"
        return f"observed {_text(self.value)}"


def never(name: str, bad: str, says: str, *, show: Sequence[str], max_share: float = 0.0) -> Check:
    """At most ``max_share`` of the rows are ``bad``, an SQL condition; ``show`` are shown columns."""
    return Check(
        name=name,
        says=says,
        sql=f"count(*) FILTER ({bad})",
        high=max_share,
        is_share=True,
        examples=f"SELECT {', '.join(show)} FROM rows WHERE {bad}",
    )


def unique(table: str, key: str, *, is_text: bool = False) -> Check:
    """No two rows share ``key``, which may be several columns with commas between them.

    Texts are compared by their 64-bit hash, which halves time and memory: equal texts never pass, and ten
    million different ones are mistaken for a duplicate once in 370,000 days.
    """
    columns = key.split(", ")
    shown = f"hash({key})" if is_text or len(columns) > 1 else key
    is_known = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    return Check(
        name=f"{table}.unique.{'_and_'.join(columns)}",
        says=f"{key} is unique",
        sql=f"count(*) FILTER ({is_known}) - count(DISTINCT {shown}) FILTER ({is_known})",
        high=0.0,
        is_share=True,
        examples=f"SELECT {key}, count(*) AS rows FROM rows GROUP BY ALL HAVING count(*) > 1",
    )


def measure(connection: duckdb.DuckDBPyConnection, checks: Sequence[Check]) -> list[Figure]:
    """Measure all ``checks`` on the view ``rows`` in one query."""
    columns = ", ".join(["count(*)", *(f"({check.sql})::DOUBLE" for check in checks)])
    [(num_rows, *values)] = connection.execute(f"SELECT {columns} FROM rows").fetchall()
    return [_figure(check, value, num_rows) for check, value in zip(checks, values, strict=True)]


def find_examples(connection: duckdb.DuckDBPyConnection, check: Check, limit: int) -> list[dict[str, Any]]:
    """Some rows that fail ``check``, as text."""
    if check.examples is None:
        return []
    found = connection.sql(f"SELECT * FROM ({check.examples}) LIMIT {limit}")
    return [_as_text(dict(zip(found.columns, row, strict=True))) for row in found.fetchall()]


def _figure(check: Check, value: float, num_rows: int) -> Figure:
    if check.is_share:
        return Figure(check, value / max(num_rows, 1), num_rows, int(value))
    return Figure(check, value, num_rows, None)


def _as_text(row: Mapping[str, object]) -> dict[str, Any]:
    return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in row.items()}


def _text(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
