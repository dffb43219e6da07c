"""A complete day is ingested at the next look, others wait."""

from pathlib import Path

import pytest

from features.lake import Lake
from features.schema import WATCHES
from features.settings import Settings
from tests.dags.airflow_home import running_airflow, simulate_days


@pytest.mark.slow
@pytest.mark.server
def test_a_day_with_its_marker_does_not_wait_for_midnight(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    complete, _ = simulate_days(settings, 2, dirt=0)
    (settings.landing / WATCHES / complete / ".complete").touch()
    with running_airflow(settings, ["ingest_landed_days"]) as airflow:
        airflow.client.unpause("ingest_landed_days")
        airflow.wait(lambda runs: bool(runs) and runs[0]["state"] == "success", seconds=240)
    assert list(Lake(settings).day_counts(WATCHES)) == [complete]
