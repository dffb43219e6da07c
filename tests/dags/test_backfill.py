"""``airflow backfill`` over days: every day is ingested, two at once, and training happens once."""

from pathlib import Path

import pytest

from features.errors import RetryLaterError
from features.ingest import ingest
from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.snapshots import snapshot_days
from serving.demo_airflow import Json
from tests.dags.airflow_home import UNFINISHED, running_airflow, simulate_days

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]

NUM_DAYS = 3
CHAIN = ["ingest_watch_logs", "materialize_features", "train_models"]
ONE_EPOCH = {"FACET_TRAIN_SET": '{"single_activation": ["epochs=1", "refit_epochs=0"]}'}


def checksums(settings: Settings) -> dict[str, str]:
    lake = Lake(settings)
    tables = (WATCHES, VIDEOS, USERS)
    return {f"{table}/{day}": lake.checksum(table, day) for table in tables for day in lake.day_counts(table)}


def is_settled(runs: list[Json]) -> bool:
    """Nothing is under way, and the last features have started their training."""
    features, trainings = (
        [run["end_date"] for run in runs if run["dag_id"] == dag_id] for dag_id in CHAIN[1:]
    )
    return not any(run["state"] in UNFINISHED for run in runs) and max(features) < max(trainings)


def test_a_backfill_ingests_every_day_and_trains_once(tmp_path: Path) -> None:
    settings, undisturbed = (Settings(home=tmp_path / name) for name in ("home", "undisturbed"))
    days = simulate_days(settings, NUM_DAYS)
    simulate_days(undisturbed, NUM_DAYS)
    ingest(days, settings=undisturbed)
    backfill = ["backfill", "create", "--dag-id", CHAIN[0], "--from-date", days[0], "--to-date", days[-1]]
    backfill += ["--max-active-runs", "2"]
    with running_airflow(settings, CHAIN, more=ONE_EPOCH) as airflow:
        planned = airflow.command(*backfill, "--dry-run")
        assert [day in planned.partition("Runs to be attempted")[2] for day in days] == [True] * NUM_DAYS
        assert airflow.client.runs() == []
        airflow.command(*backfill)
        with pytest.raises(RetryLaterError, match="There can be only one running backfill per Dag"):
            airflow.command(*backfill)
        for dag_id in reversed(CHAIN):
            airflow.client.unpause(dag_id)
        airflow.wait(lambda _: snapshot_days(settings) == days, seconds=300)
        runs = airflow.wait(is_settled, seconds=400)
        tasks = airflow.client.tasks()
    ingests = [run for run in runs if run["dag_id"] == CHAIN[0]]
    assert [run["run_type"] for run in ingests] == ["backfill"] * NUM_DAYS
    chosen = [task["state"] for task in tasks if task["task_id"] == "choose_day"]
    assert sorted(chosen) == ["skipped"] * (len(chosen) - 1) + ["success"]
    assert checksums(settings) == checksums(undisturbed)
