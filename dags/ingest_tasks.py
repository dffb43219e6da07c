"""The three tasks that bring landing days into the lake; every DAG that ingests consists of them."""

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from dags.assets import WATCHES, announce
from dags.tasks import UNFINISHED, days_of_run, step


@step(lineage="staged")
def stage(days: list[str] | None = None) -> str:
    """Type and deduplicate the landing files of ``days``, by default those of the run."""
    from features.ingest import stage as stage_days

    return stage_days(days or days_of_run())


@step(lineage="validated")
def validate(stage: str) -> str:
    """Check the staged partitions before anyone sees them."""
    from features.validation import validate as require_valid

    return require_valid(stage)


@step(outlets=[WATCHES], lineage="committed")
def commit(stage: str) -> str:
    """Replace the partitions in the lake and tell the DAGs behind."""
    from features.serial_commit import commit_in_turn

    days = commit_in_turn(stage)
    return announce(WATCHES, day=days[-1], days=days)


def found_or_skip(days: list[str]) -> list[str]:
    """``days``; without any, or while the daily run works, there is nothing to do and the run ends, green."""
    if not days:
        raise AirflowSkipException("no landing file is new or changed")
    if waiting := get_current_context()["ti"].get_dr_count("ingest_watch_logs", states=UNFINISHED):
        raise AirflowSkipException(f"{waiting} runs of ingest_watch_logs are not done; the next look is soon")
    return days
