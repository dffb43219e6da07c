"""Runs that are not done in time: one line each in ``FACET_HOME/reports/deadlines.jsonl``, and in the log."""

import os
from pathlib import Path
from typing import Final

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from features.settings import Settings

log = structlog.get_logger(__name__)

FILE: Final = "deadlines.jsonl"


class MissedDeadline(BaseModel):
    """One run that was not done when it had to be."""

    model_config = ConfigDict(frozen=True)

    dag_id: str
    run_id: str
    run_type: str
    """``scheduled``, ``manual``, ``asset_triggered`` or ``backfill``."""
    queued_at: AwareDatetime
    needed_by: AwareDatetime
    noticed_at: AwareDatetime


def note_missed(missed: MissedDeadline, *, settings: Settings | None = None) -> Path:
    """Append one line, in one write, so that several processes may; returns the file."""
    path = (settings or Settings()).reports / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    line = missed.model_dump_json() + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    log.error("deadline missed", **missed.model_dump(mode="json"))
    return path


def missed_deadlines(settings: Settings) -> list[MissedDeadline]:
    """All that were ever noted, oldest first; lines that a full disk cut short are left out."""
    path = settings.reports / FILE
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [missed for line in lines if (missed := _parsed(line))]


def _parsed(line: bytes) -> MissedDeadline | None:
    try:
        return MissedDeadline.model_validate_json(line)
    except ValidationError:
        return None
