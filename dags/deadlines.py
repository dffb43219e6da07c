"""When a run is late, monitoring hears of it: a line in ``reports/deadlines.jsonl`` of FACET_HOME.

The callback runs in the executor, so no triggerer is needed. Time counts from when a run was queued;
runs of a backfill, which wait for each other for hours, are never late.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference, VariableInterval

INGEST: Final = "facet_ingest_deadline_seconds"
TRAIN: Final = "facet_train_deadline_seconds"
"""Airflow Variables, without which no run starts; the stack sets them from ``FACET_..._DEADLINE_SECONDS``."""


def deadline(variable: str) -> DeadlineAlert:
    """Alert when a run is not done so many seconds after it was queued."""
    return DeadlineAlert(
        name=variable.removesuffix("_seconds"),
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=VariableInterval(variable),
        callback=SyncCallback("dags.deadlines.report_missed"),
    )


def report_missed(context: Mapping[str, Any]) -> None:
    """Called by Airflow once per run that misses its deadline."""
    from features.deadlines import MissedDeadline, note_missed

    run = context["dag_run"]
    if run["run_type"] == "backfill":
        return
    missed = MissedDeadline(
        dag_id=run["dag_id"],
        run_id=run["dag_run_id"],
        run_type=run["run_type"],
        queued_at=run["queued_at"],
        needed_by=context["deadline"]["deadline_time"],
        noticed_at=datetime.now(UTC),
    )
    note_missed(missed)
