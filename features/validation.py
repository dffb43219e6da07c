"""Great Expectations over every staged partition, before anybody can see its rows.

Row-level dirt is gone by then (``features/rules.py`` put it into quarantine); the suites judge a partition
as a whole, and state once more what every consumer relies on. A red partition stops the stage: the error
names the failing expectations with example rows, and Data Docs show all results.
"""

import json
import os
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq
import structlog

from features.days import add_days, end_of, start_of
from features.errors import InvalidDataError
from features.lake import PARTITION, Lake, connect, curated_schema
from features.rules import MAX_WATCH_SECONDS
from features.schema import (
    DURATION_SECONDS,
    EVENT_ID,
    EVENT_TIME,
    KEYS,
    SCHEMAS,
    UPLOADER_ID,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEOS,
    WATCH_SECONDS,
    WATCHES,
)
from features.settings import Settings
from features.stage import VALIDATED_FILE, Partition, Stage, mark, write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import AbstractDataContext
    from great_expectations.expectations.expectation import Expectation

log = structlog.get_logger(__name__)

VIDEO_IS_KNOWN: Final = "video_is_known"
"""Column that validation adds: whether the watch's video is in a snapshot."""


EXAMPLE_COLUMNS: Final = {WATCHES: (EVENT_ID, USER_ID, VIDEO_ID), VIDEOS: (VIDEO_ID,), USERS: (USER_ID,)}


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that a partition did not meet."""

    table: str
    day: str
    expectation: str
    observed: str
    examples: list[dict[str, Any]]

    def __str__(self) -> str:
        rows = "".join(f"\n      e.g. {row}" for row in self.examples)
        return f"{self.table} {self.day}: {self.expectation}: {self.observed}{rows}"


def validate(folder: str, *, settings: Settings | None = None) -> str:
    """Check every partition of a stage and return ``folder``; only then it can be committed.

    Raises:
        InvalidDataError: names every failing expectation with example rows, and the Data Docs.
    """
    settings = settings or Settings()
    place = Path(folder)
    staged = Stage.open(place)
    checker = _Checker(staged, place, settings)
    failures = checker.quarantine_failures()
    for partition in staged.partitions:
        failures += checker.check(partition)
    docs = checker.build_docs()
    report = settings.reports / "validation" / f"{place.name}.json"
    write_atomically(report, json.dumps([str(failure) for failure in failures], indent=2))
    log.info("stage validated", partitions=len(staged.partitions), failures=len(failures), data_docs=docs)
    if failures:
        listed = "\n  - ".join(str(failure) for failure in failures)
        raise InvalidDataError(
            f"{len(failures)} expectations failed; nothing of {place.name} was made visible:\n  - {listed}\n"
            f"All results: {docs}\nMend the landing files (or the limits, FACET_VALIDATION__*) and run again."
        )
    mark(place, VALIDATED_FILE, partitions=len(staged.partitions), data_docs=docs)
    return folder


class _Checker:
    """Suites, their context and what they need to know of the other days."""

    def __init__(self, staged: Stage, folder: Path, settings: Settings) -> None:
        self._staged = staged
        self._folder = folder
        self._limits = settings.validation
        self._lake = Lake(settings)
        self._docs = settings.reports / "data_docs" / folder.name
        self._context = _open_context(self._docs)
        self._row_counts = self._lake.day_counts(WATCHES)
        self._row_counts |= {part.day: part.rows for part in staged.partitions if part.table == WATCHES}

    def quarantine_failures(self) -> list[Failure]:
        """Landing days of which too large a share was refused."""
        found = []
        for count in self._staged.counts:
            share = count.quarantined / max(count.read, 1)
            if share > self._limits.max_quarantined:
                observed = f"{count.quarantined} of {count.read} rows: {count.rules}"
                name = f"at most {self._limits.max_quarantined:.0%} of the rows in quarantine"
                found.append(Failure(count.table, count.landing_day, name, observed, []))
        return found

    def check(self, partition: Partition) -> list[Failure]:
        """Run the suite of one partition."""
        import great_expectations as gx

        name = f"{partition.table} {partition.day}"
        suite = self._context.suites.add(gx.ExpectationSuite(name=name, expectations=self._suite(partition)))
        source = self._context.data_sources.add_or_update_pandas(name)
        batch = source.add_dataframe_asset(partition.table).add_batch_definition_whole_dataframe("partition")
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        result = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": self._rows(partition)},
            result_format={
                "result_format": "SUMMARY",
                "unexpected_index_column_names": list(EXAMPLE_COLUMNS[partition.table]),
                "partial_unexpected_count": self._limits.num_examples,
            },
        )
        return [_failure(partition, single) for single in result.results if not single.success]

    def build_docs(self) -> str:
        """Write the HTML of all results; returns the link."""
        self._context.build_data_docs()
        return (self._docs / "index.html").as_uri()

    def _rows(self, partition: Partition) -> "pd.DataFrame":
        rows = pq.read_table(partition.path(self._folder), schema=curated_schema(partition.table)).to_pandas()
        if partition.table == WATCHES:
            rows[VIDEO_IS_KNOWN] = rows[VIDEO_ID].isin(self._known_videos(partition.day))
        return rows

    def _known_videos(self, day: str) -> set[int]:
        """Ids in the lake's newest snapshot up to ``day`` and in every staged snapshot."""
        newest = self._lake.newest_day(VIDEOS, day)
        rows = self._lake.scan(connect(), VIDEOS, [newest] if newest else []).project(VIDEO_ID).fetchall()
        return self._staged_videos | {video_id for (video_id,) in rows}

    @cached_property
    def _staged_videos(self) -> set[int]:
        parts = [part.path(self._folder) for part in self._staged.partitions if part.table == VIDEOS]
        return {video_id for path in parts for video_id in pq.read_table(path)[VIDEO_ID].to_pylist()}

    def _suite(self, partition: Partition) -> list["Expectation"]:
        import great_expectations.expectations as gxe

        table, key = partition.table, KEYS[partition.table]
        columns = curated_schema(table).names + ([VIDEO_IS_KNOWN] if table == WATCHES else [])
        required = [field.name for field in SCHEMAS[table] if not field.nullable]
        return [
            gxe.ExpectTableColumnsToMatchSet(column_set=columns, exact_match=True),
            *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in required),
            gxe.ExpectColumnValuesToBeUnique(column=key),
            gxe.ExpectColumnValuesToBeInSet(column=PARTITION[table], value_set=[partition.day]),
            *_ranges(table, partition.day),
            *(self._watch_expectations(partition) if table == WATCHES else []),
        ]

    def _watch_expectations(self, partition: Partition) -> list["Expectation"]:
        """Volume, freshness and known videos. Late partitions have no volume or freshness of their own."""
        import great_expectations.expectations as gxe

        limits, day = self._limits, partition.day
        mostly = 1 - limits.max_unknown_videos
        found = [gxe.ExpectColumnValuesToBeInSet(column=VIDEO_IS_KNOWN, value_set=[True], mostly=mostly)]
        if day not in self._staged.landing_days:
            return found
        newest = end_of(day).timestamp() - limits.max_silent_hours * 3600
        found.append(gxe.ExpectColumnMaxToBeBetween(column=EVENT_TIME, min_value=_moment(newest)))
        first = add_days(day, -limits.baseline_days)
        baseline = [rows for other, rows in self._row_counts.items() if first <= other < day]
        if len(baseline) >= limits.min_baseline_days:
            usual = statistics.median(baseline)
            low, high = int(limits.min_row_ratio * usual), int(limits.max_row_ratio * usual)
            found.append(gxe.ExpectTableRowCountToBeBetween(min_value=low, max_value=high))
        return found


def _ranges(table: str, day: str) -> list["Expectation"]:
    import great_expectations.expectations as gxe

    at_least_0 = {WATCHES: (USER_ID, VIDEO_ID), VIDEOS: (VIDEO_ID, UPLOADER_ID, DURATION_SECONDS)}
    found = [
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0)
        for name in at_least_0.get(table, (USER_ID,))
    ]
    if table == WATCHES:
        found.append(
            gxe.ExpectColumnValuesToBeBetween(column=WATCH_SECONDS, min_value=0, max_value=MAX_WATCH_SECONDS)
        )
        found.append(
            gxe.ExpectColumnValuesToBeBetween(
                column=EVENT_TIME,
                min_value=_moment(start_of(day).timestamp()),
                max_value=_moment(end_of(day).timestamp()),
                strict_max=True,
            )
        )
    return found


def _moment(seconds: float) -> "pd.Timestamp":
    import pandas as pd

    return pd.Timestamp(seconds, unit="s", tz="UTC")


def _failure(partition: Partition, single: "ExpectationValidationResult") -> Failure:
    config = single.expectation_config
    assert config is not None
    wanted = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    arguments = ", ".join(f"{name}={value}" for name, value in wanted.items())
    result = single.result
    if single.exception_info and single.exception_info.get("raised_exception"):
        observed = str(single.exception_info["exception_message"])
    elif "observed_value" in result:
        observed = f"observed {result['observed_value']}"
    else:
        observed = f"{result.get('unexpected_count')} of {result.get('element_count')} rows fail"
    examples = [
        {name: str(value) for name, value in row.items()}
        for row in result.get("partial_unexpected_index_list") or []
    ]
    return Failure(partition.table, partition.day, f"{config.type}({arguments})", observed, examples)


def _open_context(docs: Path) -> "AbstractDataContext":
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by the library when it is imported
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.delete_data_docs_site("local_site")  # a temporary folder that nobody would find
    context.add_data_docs_site(
        site_name="facet",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    return context
