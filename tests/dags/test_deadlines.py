"""A run that is late leaves a line that monitoring can follow; a backfill never does."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dags.deadlines import report_missed
from features.deadlines import MissedDeadline, missed_deadlines, note_missed
from features.settings import Settings
from tests.dags.airflow_home import running_airflow, simulate_days

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def missed(run_id: str) -> MissedDeadline:
    return MissedDeadline(
        dag_id="ingest_watch_logs",
        run_id=run_id,
        run_type="scheduled",
        queued_at=NOON,
        needed_by=NOON,
        noticed_at=NOON,
    )


def test_every_late_run_is_one_line(settings: Settings) -> None:
    assert missed_deadlines(settings) == []
    note_missed(missed("a"), settings=settings)
    path = note_missed(missed("b"), settings=settings)
    assert missed_deadlines(settings) == [missed("a"), missed("b")]
    assert path.read_text().count("\n") == 2
    path.write_bytes(path.read_bytes() + b'\n{"dag_id": "ing')  # a full disk
    assert missed_deadlines(settings) == [missed("a"), missed("b")]


@pytest.mark.parametrize(("run_type", "num_lines"), [("scheduled", 1), ("manual", 1), ("backfill", 0)])
def test_days_of_a_backfill_wait_for_each_other_and_are_not_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_type: str, num_lines: int
) -> None:
    monkeypatch.setenv("FACET_HOME", str(tmp_path))
    run = {"dag_id": "ingest_watch_logs", "dag_run_id": "r", "run_type": run_type, "queued_at": NOON}
    report_missed({"dag_run": run, "deadline": {"deadline_time": NOON}})
    assert len(missed_deadlines(Settings(home=tmp_path))) == num_lines


@pytest.mark.slow
@pytest.mark.server
def test_airflow_notes_a_late_run_once_and_the_run_goes_on(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    [day] = simulate_days(settings, 1)
    with running_airflow(settings, ["ingest_watch_logs"], ingest_deadline_seconds=1) as airflow:
        airflow.client.unpause("ingest_watch_logs")  # the daily schedule starts the run of yesterday
        [run] = airflow.wait(lambda runs: bool(missed_deadlines(settings)) and bool(runs), seconds=180)
        airflow.wait(lambda runs: runs[0]["state"] == "success", seconds=180)
    [found] = missed_deadlines(settings)
    assert (found.dag_id, found.run_id, found.run_type) == (
        "ingest_watch_logs",
        run["dag_run_id"],
        "scheduled",
    )
    assert (found.needed_by - found.queued_at).total_seconds() == pytest.approx(1, abs=0.5)
    assert day in run["logical_date"]
