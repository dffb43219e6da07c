"""Landing files to curated partitions: stage, validate, commit. Every step can be killed and run again.

Watches go to the partition of their own UTC event day, so late events rewrite an older day; a partition
is replaced as a whole. Videos and users are snapshots: one partition per landing day. Rows that break a
rule go to quarantine. ``read = kept + duplicate + quarantined`` holds for every table and landing day.

Ingesting a landing day replaces the rows that the same landing day brought before, and notes which files it
read (``features/landing_manifest.py``). Among rows of equal
key the earliest (landing day, file, line) wins, so the result depends neither on the order of ingests nor
on how the days are grouped into calls.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from features.errors import RetryLaterError, StaleStageError
from features.exposures import require_current
from features.home_lock import beside_others
from features.lake import Lake, connect, curated_schema, rows_checksum
from features.landing import Landing
from features.landing_manifest import Manifest, pending_days, rules_key
from features.log_table import log_table
from features.settings import Settings
from features.side_by_side import side_by_side
from features.sql import parquet_rows
from features.stage import (
    COMMITTED_FILE,
    QUARANTINE,
    Counts,
    Partition,
    Stage,
    mark,
    require_validated,
    write_atomically,
)
from features.staged_rows import StagedRows
from features.task_metrics import LANDED_ROWS, QUARANTINED_ROWS, record, recorded

BATCH_ROWS: Final = 131_072
CLEARED: Final = ".cleared-"
log = structlog.get_logger(__name__)


def ingest(days: Sequence[str] | None = None, *, settings: Settings | None = None) -> Stage:
    """Stage, validate and commit the landing folders of ``days``; returns the counts and partitions.

    Args:
        days: again if need be; by default those with new or changed files.

    Raises:
        InvalidDataError: validation failed; the lake is as before.
    """
    from features.serial_commit import commit_in_turn
    from features.validation import validate

    settings = settings or Settings()
    if days is None and not (days := pending_days(settings)):
        return Stage(landing_days=[], counts=[], partitions=[], files={})
    folder = stage(days, settings=settings)
    validate(folder, settings=settings)
    commit_in_turn(folder, settings=settings)
    return Stage.open(Path(folder))


@recorded("stage")
@beside_others
def stage(days: Sequence[str], *, settings: Settings | None = None) -> str:
    """Build the partitions that the landing folders of ``days`` lead to, and return the stage's folder.

    Raises:
        BadInputError: a day has no watches in landing, or a file cannot be read at all.
        RetryLaterError: a file was replaced while it was read.
    """
    settings = settings or Settings()
    days = sorted(set(days))
    folder = settings.staging / f"{days[0]}..{days[-1]}"
    _clear_stages(settings, folder)
    landing = Landing(settings, folder / "landing")
    files = {day: landing.stamps(day) for day in days}
    for day, stamps in files.items():
        _tell_changes(settings, day, stamps)
    with StagedRows(Lake(settings), landing, folder) as rows:
        rows.read(days)
        partitions = rows.build_partitions()
        counts = rows.count()
        rows.write_quarantine()
    landing.forget_copies()
    replaced = [day for day, stamps in files.items() if landing.stamps(day) != stamps]
    if replaced:
        raise RetryLaterError(f"landing files of {', '.join(replaced)} came or went meanwhile; run again")
    unbalanced = [count for count in counts if not count.balanced]
    assert not unbalanced, f"rows were lost or counted twice: {unbalanced}"
    Stage(landing_days=days, counts=counts, partitions=partitions, files=files).write(folder)
    return str(folder)


@recorded("commit")
@beside_others
def commit(folder: str, *, settings: Settings | None = None) -> list[str]:
    """Replace the partitions of a validated stage in the lake; returns the landing days.

    Raises:
        InvalidDataError: the stage has not passed validation.
        StaleStageError: a partition, or exposures that one was filled from, changed since; stage again.
    """
    settings = settings or Settings()
    place = Path(folder)
    staged = Stage.open(place)
    require_validated(place)
    lake = Lake(settings)
    require_current(lake, staged.partitions)
    for table, parts in groupby(staged.partitions, key=lambda partition: partition.table):
        calls = [(lake, partition, place) for partition in parts]
        first = 0 if lake.has(table) else 1  # two threads cannot both create the table
        side_by_side(_commit_partition, calls[:first])
        side_by_side(_commit_partition, calls[first:])
    for count in staged.counts:
        refused = place / QUARANTINE / count.table / f"{count.landing_day}.parquet"
        kept = settings.quarantine / count.table / refused.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(refused, kept)
    for day in staged.landing_days:
        found = [count for count in staged.counts if count.landing_day == day]
        write_atomically(
            settings.reports / "ingest" / f"{day}.jsonl",
            "\n".join(count.model_dump_json() for count in found),
        )
        Manifest(rules=rules_key(), files=staged.files[day]).write(settings, day)
    log_table("landing days committed", [count.row() for count in staged.counts])
    mark(place, COMMITTED_FILE, landing_days=staged.landing_days)
    _record(staged.counts)
    return staged.landing_days


def newest_committed_day(*, settings: Settings | None = None) -> str | None:
    """The newest landing day that was ever committed, or ``None``."""
    reports = (settings or Settings()).reports / "ingest"
    return max((path.stem for path in reports.glob("*.jsonl")), default=None)


def _record(counts: Sequence[Counts]) -> None:
    for table in {count.table for count in counts}:
        own = [count for count in counts if count.table == table]
        for outcome in ("kept", "duplicate", "quarantined"):
            rows = sum(getattr(count, outcome) for count in own)
            record(LANDED_ROWS, rows, table=table, outcome=outcome)
        for rule, rows in sum((Counter(count.rules) for count in own), Counter[str]()).items():
            record(QUARANTINED_ROWS, rows, table=table, rule=rule)


def _tell_changes(settings: Settings, day: str, stamps: dict[str, str]) -> None:
    manifest = Manifest.read(settings, day)
    for name, change in (manifest.changes(stamps) if manifest else {}).items():
        if change == "new":
            log.info("late file", file=name)
        else:
            log.warning(f"file {change} since its rows were ingested; they are replaced", file=name)


def _clear_stages(settings: Settings, folder: Path) -> None:
    """Renamed before they are removed: what a kill leaves of one must not look like one that is needed."""
    for old in settings.staging.glob("*"):
        if old == folder or old.name.startswith(CLEARED) or (old / COMMITTED_FILE).exists():
            gone = settings.staging / f"{CLEARED}{uuid4().hex}"
            with suppress(FileNotFoundError):  # another stage was faster
                old.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
    folder.mkdir(parents=True)


def _commit_partition(lake: Lake, partition: Partition, folder: Path) -> None:
    path = partition.path(folder)
    if lake.partition_files(partition.table, partition.day) == partition.base_files:
        schema = curated_schema(partition.table)
        batches = (batch.cast(schema) for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS))
        rows = pa.RecordBatchReader.from_batches(schema, batches)  # as a whole, a day may not fit in memory
        lake.write_day(partition.table, partition.day, rows)
        return
    staged = rows_checksum(connect().sql(f"FROM {parquet_rows(path)}"), partition.table)
    if lake.checksum(partition.table, partition.day) != staged:
        raise StaleStageError(
            f"{partition.table} {partition.day} was rewritten after it was staged; ingest these days again"
        )
