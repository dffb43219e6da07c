"""What is expected of one day's feature rows, before they are written where Feast and training read them.

The checks follow from the columns: ids are keys, integers are counts, ``*rate*`` are shares, ``_1d``,
``_7d``, ``_30d`` are windows. So a new view or column is checked without a line here. Rows are counted
against the very watches that they were made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.types as kinds

from features.days import end_of
from features.errors import InvalidDataError, RetryLaterError
from features.lake import connect
from features.settings import Settings
from features.validation.checks import Check, find_examples, measure, never
from features.validation.judge import Judge
from features.validation.results import Result, Run

WINDOWS: Final = ("_1d", "_7d", "_30d")
PLAYS: Final = "plays_1d"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the watches say, by view; a view that is not named is not counted."""

    rows: Mapping[str, int]
    """Rows of the view."""
    plays: Mapping[str, int]
    """Plays of the day, which the view's rows must add up to."""


class FeatureChecks:
    """Judges the feature rows of the days of one run; their Data Docs are written once, at its end."""

    def __init__(self, days: Sequence[str], settings: Settings) -> None:
        self._settings = settings
        self._limits = settings.validation
        docs = settings.reports / "data_docs" / f"features {min(days)}..{max(days)}"
        self._judge = Judge(docs, self._limits)
        self._link = (docs / "index.html").as_uri()
        self._connection = connect()

    def check(self, views: Mapping[str, pa.Table], day: str, expected: Expected) -> Run:
        """Judge the rows of ``day``; stores and returns the results.

        Args:
            views: rows by name of the view; each has its ids first and one time column.

        Raises:
            InvalidDataError: names every failing expectation with example rows.
            RetryLaterError: only numbers of rows or plays differ, as when a day is ingested meanwhile.
        """
        figures = [
            (view, figure)
            for view, rows in views.items()
            for figure in measure(self._over(rows), view_checks(view, rows.schema, day, expected))
        ]
        failing = self._judge.failing(day, [figure for _, figure in figures])
        results = [
            Result.of(
                figure,
                table=view,
                day=day,
                limits=self._limits,
                success=figure.check.name not in failing,
                examples=self._examples(views[view], figure.check, failing),
            )
            for view, figure in figures
        ]
        run = Run.finished("features", results, self._link, [])
        run.write(self._settings)
        if run.blocking:
            self.build_docs()
            raise _refusal(run, day)
        return run

    def build_docs(self) -> str:
        """Write the HTML of all days judged so far; returns the link."""
        return self._judge.build_docs()

    def _over(self, rows: pa.Table) -> duckdb.DuckDBPyConnection:
        """Where ``rows`` are the view of that name."""
        return self._connection.register("rows", rows)

    def _examples(self, rows: pa.Table, check: Check, failing: set[str]) -> list[dict[str, Any]]:
        if check.name not in failing:
            return []
        return find_examples(self._over(rows), check, self._limits.num_examples)


def _refusal(run: Run, day: str) -> InvalidDataError | RetryLaterError:
    listed = "\n  - ".join(str(result) for result in run.blocking)
    text = f"the features of {day} are wrong and were not written:\n  - {listed}\n"
    text += f"All results: {run.data_docs}"
    if all(".counts." in result.name for result in run.blocking):
        return RetryLaterError(f"{text}\nWas a day ingested meanwhile? Run again.")
    return InvalidDataError(text)


def view_checks(view: str, schema: pa.Schema, day: str, expected: Expected) -> list[Check]:
    """The checks of one view, from its columns."""
    keys = [field.name for field in schema if field.name.endswith("_id")]
    return [
        *(never(f"{view}.not_null.{key}", f"{key} IS NULL", f"{key} is known", show=keys) for key in keys),
        _unique(view, keys),
        *_times(view, schema, day, keys),
        *_numbers(view, schema, keys),
        *_lists(view, schema, keys),
        *_sums(view, schema, expected),
    ]


def _unique(view: str, keys: Sequence[str]) -> Check:
    key = ", ".join(keys)
    known = " AND ".join(f"{name} IS NOT NULL" for name in keys)
    return Check(
        name=f"{view}.unique.{'+'.join(keys)}",
        says=f"one row per {key}",
        sql=f"count(*) FILTER ({known}) - count(DISTINCT ({key})) FILTER ({known})",
        high=0.0,
        is_share=True,
        examples=f"SELECT {key}, count(*) AS rows FROM rows GROUP BY ALL HAVING count(*) > 1",
    )


def _times(view: str, schema: pa.Schema, day: str, keys: Sequence[str]) -> list[Check]:
    moment = f"TIMESTAMPTZ '{end_of(day).isoformat()}'"
    names = [field.name for field in schema if kinds.is_timestamp(field.type)]
    return [
        never(
            f"{view}.partition",
            f"{name} IS DISTINCT FROM {moment}",
            f"{name} is the end of {day}",
            show=(*keys, name),
        )
        for name in names
    ]


def _numbers(view: str, schema: pa.Schema, keys: Sequence[str]) -> list[Check]:
    """Counts are known, not negative, and grow with their window; shares lie in 0..1; all is finite."""
    counts = [field.name for field in schema if kinds.is_integer(field.type) and field.name not in keys]
    reals = [field.name for field in schema if kinds.is_floating(field.type)]
    negative = [f"{name} IS NULL OR {name} < 0" for name in counts]
    shrinking = [
        f"{small} > {large}"
        for small, large in pairwise(counts)
        if _window(small) and _window(large) and _stem(small) == _stem(large)
    ]
    rates = [name for name in reals if "rate" in name]
    outside = [f"{name} IS NOT NULL AND NOT {name} BETWEEN 0 AND 1" for name in rates]
    infinite = [f"{name} IS NOT NULL AND NOT isfinite({name})" for name in reals if name not in rates]
    found = []
    if outside:
        says = "rates are unknown or between 0 and 1"
        found.append(never(f"{view}.range.rates", _any(outside), says, show=(*keys, *rates)))
    if infinite:
        found.append(
            never(f"{view}.range.numbers", _any(infinite), "numbers are finite", show=(*keys, *reals))
        )
    if negative:
        says = "counts are known and not negative"
        found.append(never(f"{view}.range.counts", _any(negative), says, show=(*keys, *counts)))
    if shrinking:
        says = "a longer window counts at least as much"
        found.append(never(f"{view}.range.windows", _any(shrinking), says, show=(*keys, *counts)))
    return found


def _lists(view: str, schema: pa.Schema, keys: Sequence[str]) -> list[Check]:
    """Lists of numbers belong together, element by element."""
    lists = [
        field.name
        for field in schema
        if kinds.is_list(field.type) and kinds.is_integer(field.type.value_type)
    ]
    if len(lists) < 2:
        return []
    bad = " OR ".join(f"len({name}) IS DISTINCT FROM len({lists[0]})" for name in lists[1:])
    says = f"{', '.join(lists)} are equally long and not empty"
    return [never(f"{view}.range.lists", f"len({lists[0]}) = 0 OR {bad}", says, show=keys)]


def _sums(view: str, schema: pa.Schema, expected: Expected) -> list[Check]:
    found = []
    if view in expected.rows:
        found.append(
            (f"{view}.counts.rows", "a row for each id among the watches", "count(*)", expected.rows)
        )
    if view in expected.plays and PLAYS in schema.names:
        sql = f"coalesce(sum({PLAYS}), 0)"
        found.append((f"{view}.counts.{PLAYS}", f"{PLAYS} add up to the day's watches", sql, expected.plays))
    return [
        Check(name=name, says=says, sql=sql, low=float(wanted[view]), high=float(wanted[view]))
        for name, says, sql, wanted in found
    ]


def _any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"({condition})" for condition in conditions)


def _window(name: str) -> bool:
    return name.endswith(WINDOWS)


def _stem(name: str) -> str:
    return name.rpartition("_")[0]
