"""The real scheduler runs the real DAGs on a small simulated app."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from features.days import add_days, day_of, start_of
from features.settings import Settings
from features.snapshots import snapshot_days
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from serving.demo_airflow import AirflowClient, Json, Progress, RunFailedError
from serving.stack import AIRFLOW, run_stack
from tests.serving.test_stack import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.server]


def num_done(runs: list[Json], dag_id: str) -> int:
    return sum(run["dag_id"] == dag_id and run["state"] == "success" for run in runs)


def test_a_range_and_the_daily_run_start_one_materialize_and_a_day_without_files_is_red_at_once(
    tmp_path: Path,
) -> None:
    yesterday = add_days(day_of(datetime.now(UTC)), -1)
    config = SimulationConfig(num_users=150, num_videos=300, num_uploaders=40, num_days=4, last_day=yesterday)
    settings = Settings(home=tmp_path)
    simulate(config, settings)
    ports, serving = free_ports()
    with run_stack(settings, AIRFLOW, ports=ports, serving=serving) as stack:
        airflow = AirflowClient(stack.endpoints["api-server"].url)
        airflow.wait_for_dags(["ingest_watch_logs", "materialize_features"], timeout_seconds=180.0)
        progress = Progress(Console(quiet=True))

        # The event of a range waits while its consumer is paused; the next event brings both.
        span = f"{config.days[0]}..{config.days[2]}"
        airflow.trigger("ingest_watch_logs", "range", start_of(yesterday), {"days": span})
        airflow.unpause("ingest_watch_logs")
        progress.follow(airflow, lambda runs: num_done(runs, "ingest_watch_logs") == 1, "range")
        airflow.unpause("materialize_features")
        progress.follow(airflow, lambda runs: num_done(runs, "materialize_features") == 1, "materialize")
        assert snapshot_days(settings) == config.days
        runs = airflow.runs()
        assert [run["run_type"] for run in runs if run["dag_id"] == "ingest_watch_logs"] == [
            "manual",
            "scheduled",
        ]
        assert num_done(runs, "materialize_features") == 1

        # No files: trying again is pointless, so the first try is the last.
        airflow.trigger("ingest_watch_logs", "no_files", datetime.now(UTC), {"days": "2020-01-01"})
        with pytest.raises(RunFailedError, match=r"AirflowFailException: .*2020-01-01 holds no files"):
            progress.follow(airflow, lambda _: False, "no files")
        [task] = [task for task in airflow.tasks() if task["state"] == "failed"]
        assert (task["task_id"], task["try_number"]) == ("stage", 1)
