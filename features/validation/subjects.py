"""What validation looks at: the rows of a table and day, staged or committed, and what the lake adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import duckdb
from pydantic import ValidationError

from features.lake import Lake, connect
from features.schema import DURATION_SECONDS, EXPOSURES, USER_ID, USERS, VIDEO_ID, VIDEOS, WATCHES
from features.settings import Settings
from features.sql import parquet_rows
from features.stage import Counts, Stage

_OF_SNAPSHOT: Final = {VIDEOS: (VIDEO_ID, DURATION_SECONDS), USERS: (USER_ID,)}


@dataclass(frozen=True, slots=True)
class Subject:
    """The rows of one table and day; ``path`` is a staged Parquet file, ``None`` means the lake."""

    table: str
    day: str
    path: Path | None = None


class Rows:
    """Subjects as views of one DuckDB connection.

    ``rows`` are those of the subject that was opened last; ``videos`` and ``users`` the newest snapshots up
    to its day, together with all staged ones.
    """

    def __init__(self, subjects: Sequence[Subject], settings: Settings) -> None:
        self.subjects = subjects
        self.lake = Lake(settings)
        self.sql: duckdb.DuckDBPyConnection = connect()
        self.counts = {table: self.lake.day_counts(table) for table in (WATCHES, EXPOSURES, *_OF_SNAPSHOT)}
        self._load_snapshot = cache(self._read_snapshot)
        for subject in subjects:
            if subject.path:
                [(rows,)] = self.sql.execute(f"SELECT count(*) FROM {parquet_rows(subject.path)}").fetchall()
                self.counts[subject.table][subject.day] = rows

    def open(self, subject: Subject) -> list[str]:
        """Make ``rows`` those of ``subject``; returns their columns."""
        if subject.path:
            self.sql.execute(f"CREATE OR REPLACE VIEW rows AS FROM {parquet_rows(subject.path)}")
        else:
            self.lake.scan(self.sql, subject.table, [subject.day]).create_view("rows")
        return self.sql.table("rows").columns

    def open_snapshots(self, day: str) -> None:
        """Make ``videos`` and ``users`` those of ``day``."""
        for table in _OF_SNAPSHOT:
            name = self._load_snapshot(table, self.lake.newest_day(table, day))
            self.sql.execute(f"CREATE OR REPLACE VIEW {table} AS FROM {name}")

    def has_users(self) -> bool:
        """Whether any snapshot of users is known for the day that was opened last."""
        return bool(self.sql.execute("SELECT 1 FROM users LIMIT 1").fetchall())

    def _read_snapshot(self, table: str, newest: str | None) -> str:
        """Load ids (and durations) into a table of DuckDB; returns its name."""
        key, *others = _OF_SNAPSHOT[table]
        values = "".join(f", any_value({column}) AS {column}" for column in others)
        columns = ", ".join(_OF_SNAPSHOT[table])
        name = f"{table}_{(newest or 'none').replace('-', '_')}"
        self.lake.scan(self.sql, table, [newest] if newest else []).project(columns).create(name)
        for subject in self.subjects:
            if subject.table == table and subject.path:
                self.sql.execute(f"INSERT INTO {name} SELECT {columns} FROM {parquet_rows(subject.path)}")
        self.sql.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {key}{values} FROM {name} GROUP BY {key}")
        return name


def staged_subjects(staged: Stage, folder: Path) -> list[Subject]:
    """The partitions of a stage."""
    return [Subject(part.table, part.day, part.path(folder)) for part in staged.partitions]


def committed_subjects(days: Sequence[str], settings: Settings) -> list[Subject]:
    """What the lake holds of ``days``."""
    lake = Lake(settings)
    counts = {table: lake.day_counts(table) for table in (VIDEOS, USERS, EXPOSURES, WATCHES)}
    return [Subject(table, day) for day in days for table, known in counts.items() if day in known]


def committed_counts(days: Sequence[str], settings: Settings) -> list[Counts]:
    """What the last ingest of each landing day counted."""
    found = []
    for day in days:
        path = settings.reports / "ingest" / f"{day}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            try:
                found.append(Counts.model_validate_json(line))
            except ValidationError:
                continue  # written by another version; only the chart would miss it
    return found
