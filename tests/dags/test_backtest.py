"""The backtest DAG replays days through the real scheduler."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.ingest import ingest
from features.settings import Settings
from tests.dags.airflow_home import running_airflow, simulate_days
from training.replay import read_replay


@pytest.mark.slow
@pytest.mark.server
def test_two_days_are_trained_and_judged_and_stand_in_one_table(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    days = simulate_days(settings, 4)
    ingest(days, settings=settings)
    asked = {"model": "popularity", "from": days[2], "to": days[3]}
    with running_airflow(settings, ["backtest"]) as airflow:
        airflow.client.unpause("backtest")
        airflow.client.trigger("backtest", "by_hand", datetime.now(UTC), asked)
        airflow.wait(lambda runs: runs[0]["state"] in ("success", "failed"), seconds=300)
        [summary] = [task for task in airflow.client.tasks() if task["task_id"] == "summarize"]
        logged = airflow.client.log_tail(summary)
    path = settings.reports / "backtest" / "popularity" / f"{days[2]}..{days[3]}.summary.json"
    assert [done.day for done in read_replay(str(path)).days] == days[2:]
    assert all(line in logged for line in path.with_name(f"{days[2]}..{days[3]}.txt").read_text().split("\n"))
