"""Where a person looks at what was made: whoever makes it notes it, and Airflow shows it at the task.

A page is an address, or a file below ``FACET_HOME/reports``. The notes are of this process: a task is one.
"""

from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

DATA_DOCS: Final = "Data Docs"
MLFLOW_RUN: Final = "MLflow run"
OPERATIONS: Final = "Operations"
REPORT: Final = "Report"
NAMES: Final = (DATA_DOCS, MLFLOW_RUN, OPERATIONS, REPORT)

NOTED: Final[dict[str, str]] = {}
"""The newest page of each name."""


def note_link(name: str, page: str | Path) -> None:
    """Remember and log where ``name``, one of ``NAMES``, is."""
    assert name in NAMES, f"{name!r} is none of {NAMES}: Airflow knows the buttons before a task runs"
    NOTED[name] = str(page)
    log.info("look at", name=name, page=str(page))
