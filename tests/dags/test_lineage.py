"""A chain of real runs leaves OpenLineage events that name inputs and outputs, from landing to bundle."""

import json
from pathlib import Path
from typing import Any

import pytest

from features.ingest import ingest
from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from tests.dags.airflow_home import running_airflow, simulate_days

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]

CHAIN = ["ingest_watch_logs", "materialize_features", "train_models"]
ONE_EPOCH = {"FACET_TRAIN_SET": '{"single_activation": ["epochs=1", "refit_epochs=0"]}'}


def events_of(settings: Settings) -> list[dict[str, Any]]:
    lines = (settings.root / "lineage" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def names(event: dict[str, Any], side: str) -> dict[str, str | None]:
    """Names of the datasets below FACET_HOME, with their versions."""
    return {found["name"]: found["facets"].get("version", {}).get("datasetVersion") for found in event[side]}


def test_a_day_from_landing_to_bundle_can_be_followed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    *before, day = simulate_days(settings, 3)
    ingest(before, settings=settings)
    with running_airflow(settings, CHAIN, more=ONE_EPOCH) as airflow:
        for dag_id in reversed(CHAIN):
            airflow.client.unpause(dag_id)  # the schedule ingests yesterday
        trained = ("success", "failed")
        airflow.wait(
            lambda runs: any(r["dag_id"] == CHAIN[2] and r["state"] in trained for r in runs), seconds=400
        )
    found = events_of(settings)
    jobs = {(event["job"]["name"], event["eventType"]): event for event in found}
    for job in ("stage", "validate", "commit"):
        assert ("ingest_watch_logs." + job, "START") in jobs
    for dag_id in CHAIN[:2]:
        assert {(dag_id, "START"), (dag_id, "COMPLETE")} <= set(jobs)

    stage = jobs["ingest_watch_logs.stage", "COMPLETE"]
    landed = {
        str(path) for table in (WATCHES, VIDEOS, USERS) for path in (settings.landing / table / day).iterdir()
    }
    assert landed <= set(names(stage, "inputs"))
    tables = {
        str(settings.lake / table): str(Lake(settings).snapshot(table)) for table in (WATCHES, VIDEOS, USERS)
    }
    assert names(jobs["ingest_watch_logs.commit", "COMPLETE"], "outputs") == tables
    materialize = jobs["materialize_features.materialize", "COMPLETE"]
    assert names(materialize, "inputs") == tables
    assert names(materialize, "outputs")[str(settings.feast / "offline" / "user_history")] == day
    bundles = names(jobs["train_models.train", "COMPLETE"], "outputs")
    [bundle] = [Path(name) for name in bundles]
    assert (bundle / "manifest.json").exists()
    assert bundles[str(bundle)] == bundle.name
