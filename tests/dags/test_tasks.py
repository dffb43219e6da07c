"""Days of a run, and errors that Airflow does not retry."""

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from dags.assets import BUNDLES, FEATURES, WATCHES, announce, days_in
from dags.ingest_tasks import found_or_skip
from dags.tasks import bundles_of_run, days_of_run, step
from features.errors import BadInputError, InvalidDataError, StaleStageError
from tests.dags.a_run import a_run


def test_the_first_dag_takes_its_day_from_the_data_interval() -> None:
    with a_run(interval_start=datetime(2026, 3, 1, tzinfo=UTC)):
        assert days_of_run() == ["2026-03-01"]


def test_an_operators_range_beats_the_data_interval() -> None:
    with a_run(params={"days": "2026-02-27..2026-03-01"}, interval_start=datetime(2026, 5, 5, tzinfo=UTC)):
        assert days_of_run() == ["2026-02-27", "2026-02-28", "2026-03-01"]


def test_a_run_that_knows_no_day_says_how_to_name_one() -> None:
    with a_run(), pytest.raises(BadInputError, match="days param"):
        days_of_run()


def test_days_come_from_all_events_sorted_and_once() -> None:
    extras = [
        {"day": "2026-03-03", "days": ["2026-03-02", "2026-03-03"]},
        {"day": "2026-03-01", "days": ["2026-03-01"]},
        {"day": "2026-03-03"},
    ]
    with a_run(events={WATCHES: extras}):
        assert days_of_run(WATCHES) == ["2026-03-01", "2026-03-02", "2026-03-03"]


def test_an_operators_day_beats_the_events() -> None:
    with a_run(params={"day": "2026-01-01"}, events={WATCHES: [{"day": "2026-03-03"}]}):
        assert days_of_run(WATCHES) == ["2026-01-01"]


@pytest.mark.parametrize("extras", [[], [{}], [{"days": []}]])
def test_events_without_a_day_are_refused(extras: list[dict[str, Any]]) -> None:
    with pytest.raises(BadInputError, match="day param"):
        days_in(extras)


def test_the_bundles_of_the_newest_day_are_published() -> None:
    extras = [
        {"day": "2026-03-02", "bundles": ["a/2"]},
        {"day": "2026-03-03", "bundles": ["a/3", "b/3"]},
        {"day": "2026-03-01", "bundles": ["a/1"]},
    ]
    with a_run(events={BUNDLES: extras}):
        assert bundles_of_run(BUNDLES) == ["a/3", "b/3"]
    with a_run(params={"bundles": ["c/1"]}, events={BUNDLES: extras}):
        assert bundles_of_run(BUNDLES) == ["c/1"]


def test_an_announcement_travels_with_the_event_of_its_asset() -> None:
    with a_run() as context:
        assert announce(WATCHES, day="2026-03-02", days=["2026-03-01", "2026-03-02"]) == "2026-03-02"
    assert context["outlet_events"][WATCHES].extra == {
        "day": "2026-03-02",
        "days": ["2026-03-01", "2026-03-02"],
    }
    assert context["outlet_events"][FEATURES].extra == {}


@pytest.mark.parametrize("error", [InvalidDataError("row count is 0"), BadInputError("no such day")])
def test_what_time_does_not_heal_is_not_retried(error: Exception) -> None:
    @step()
    def body() -> None:
        raise error

    with pytest.raises(AirflowFailException, match=str(error)):
        body.function()


def test_everything_else_reaches_airflow_as_it_is_and_is_retried() -> None:
    @step()
    def body() -> None:
        raise StaleStageError("stage again")

    with pytest.raises(StaleStageError):
        body.function()


def test_a_look_for_files_ends_where_there_are_none_or_the_daily_run_works() -> None:
    with a_run():
        assert found_or_skip(["2026-03-01"]) == ["2026-03-01"]
        with pytest.raises(AirflowSkipException, match="no landing file is new or changed"):
            found_or_skip([])
    daily = {"ingest_watch_logs": ["scheduled"]}
    with a_run(unfinished=daily), pytest.raises(AirflowSkipException, match="1 runs of ingest_watch_logs"):
        found_or_skip(["2026-03-01"])
