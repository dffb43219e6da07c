"""The stage: whole partitions built beside the lake, validated there, then committed or thrown away.

A stage folder holds ``<table>/<day>.parquet`` for every partition that the landing days touch (old rows
and new ones, ready to replace the partition), ``quarantine/<table>/<landing day>.parquet``, and
``stage.json``, written last: a folder without it is a stage that was killed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import InvalidDataError, StaleStageError

QUARANTINE = "quarantine"
STAGE_FILE = "stage.json"
VALIDATED_FILE = "validated.json"
COMMITTED_FILE = "committed.json"


class Counts(BaseModel):
    """Where the rows of one table and landing day went; every row that was read is in exactly one count."""

    model_config = ConfigDict(frozen=True)

    table: str
    landing_day: str
    read: int
    kept: int
    duplicate: int
    quarantined: int
    rules: dict[str, int]
    """Quarantined rows per rule."""

    @property
    def balanced(self) -> bool:
        """Whether ``read = kept + duplicate + quarantined``."""
        return self.read == self.kept + self.duplicate + self.quarantined

    def row(self) -> dict[str, Any]:
        """For a table: the counts, and the rule that refused most."""
        worst = max(self.rules, key=lambda rule: self.rules[rule], default=None)
        return self.model_dump(exclude={"rules"}) | {"first rule": worst}


class Partition(BaseModel):
    """One staged partition and the files of the lake's partition that it was built on."""

    model_config = ConfigDict(frozen=True)

    table: str
    day: str
    rows: int
    base_files: list[str]
    exposure_files: dict[str, list[str]] = {}
    """Of watches: day to the lake's files of exposures that they were filled from."""

    def path(self, stage: Path) -> Path:
        """The staged rows."""
        return stage / self.table / f"{self.day}.parquet"


class Stage(BaseModel):
    """Content of ``stage.json``."""

    model_config = ConfigDict(frozen=True)

    landing_days: list[str]
    counts: list[Counts]
    partitions: list[Partition]
    files: dict[str, dict[str, str]] = {}
    """Landing day to the names and stamps of the files that were read."""

    def write(self, folder: Path) -> None:
        """Make the stage complete."""
        write_atomically(folder / STAGE_FILE, self.model_dump_json(indent=2))

    @classmethod
    def open(cls, folder: Path) -> "Stage":
        """Raises ``StaleStageError`` if staging did not finish."""
        try:
            return cls.model_validate_json((folder / STAGE_FILE).read_text())
        except (FileNotFoundError, ValidationError) as error:
            raise StaleStageError(f"{folder} is not a complete stage; stage its days again") from error


def require_validated(folder: Path) -> None:
    """Raises ``InvalidDataError`` unless validation of this stage passed."""
    if not (folder / VALIDATED_FILE).exists():
        raise InvalidDataError(f"{folder} has not passed validation, so nobody may see its rows; validate it")


def mark(folder: Path, name: str, **facts: object) -> None:
    """Write a marker file with what was decided."""
    write_atomically(folder / name, json.dumps(facts, indent=2))


def write_atomically(path: Path, text: str, *, is_secret: bool = False) -> None:
    """Readers see the old file or the whole new one; of a secret there are none but its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    if is_secret:
        temporary.touch(mode=0o600)
    temporary.write_text(text + "\n")
    os.replace(temporary, path)


def write_parquet(rows: pa.Table, path: Path) -> None:
    """Like ``write_atomically``, for a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(rows, temporary)
    os.replace(temporary, path)
