"""A burst of events leads to one training, on the newest features, whatever Airflow tells each run."""

from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from dags.assets import WATCHES
from dags.newest import day_to_train, days_up_to
from features.errors import RetryLaterError
from features.freshness import FeatureState
from tests.dags.a_run import a_run

COMPLETE = FeatureState(day="2026-03-03", sources="aaaa", is_complete=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_HOME", str(tmp_path))


def test_a_run_covers_the_newest_committed_day_though_no_event_names_it() -> None:
    with a_run(events={WATCHES: [{"days": ["2026-03-01"]}]}):
        assert days_up_to("2026-03-03", WATCHES) == ["2026-03-01", "2026-03-03"]
        assert days_up_to("2026-03-01", WATCHES) == ["2026-03-01"]
    with a_run(params={"day": "2026-02-01"}):
        assert days_up_to("2026-03-03", WATCHES) == ["2026-02-01"]


def test_the_newest_features_are_trained_on() -> None:
    with a_run():
        assert day_to_train(COMPLETE) == "2026-03-03"


@pytest.mark.parametrize("state", [None, FeatureState("2026-03-03", "aaaa", is_complete=False)])
def test_features_that_lack_something_wait_for_the_run_that_brings_it(state: FeatureState | None) -> None:
    with a_run(), pytest.raises(AirflowSkipException, match="its own run trains"):
        day_to_train(state)


def test_nothing_is_trained_before_all_ingests_are_done() -> None:
    with (
        a_run(unfinished={"ingest_watch_logs": ["another"]}),
        pytest.raises(AirflowSkipException, match="1 runs of ingest_watch_logs"),
    ):
        day_to_train(COMPLETE)


@pytest.mark.parametrize("dag_id", ["ingest_late_files", "ingest_landed_days"])
def test_a_look_for_files_is_waited_for_since_no_event_may_follow_it(dag_id: str) -> None:
    with (
        a_run(unfinished={dag_id: ["look"]}),
        pytest.raises(RetryLaterError, match="asks again in a minute"),
    ):
        day_to_train(COMPLETE)


def test_of_two_runs_for_the_same_features_the_first_trains_also_when_it_is_cleared() -> None:
    with a_run(run_id="first"):
        assert day_to_train(COMPLETE) == "2026-03-03"
    with a_run(run_id="second"), pytest.raises(AirflowSkipException, match="first trains on these features"):
        day_to_train(COMPLETE)
    with a_run(run_id="first"):
        assert day_to_train(COMPLETE) == "2026-03-03"
    with a_run(run_id="second"):
        assert day_to_train(FeatureState("2026-03-03", "late events", is_complete=True)) == "2026-03-03"


def test_an_operator_gets_the_day_that_was_asked_for() -> None:
    with a_run(params={"day": "2026-03-01"}, unfinished={"ingest_watch_logs": ["another"]}):
        assert day_to_train(None) == "2026-03-01"
