"""What batch tasks leave for monitoring."""

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from features.errors import BadInputError, InvalidDataError
from features.ingest import commit, stage
from features.settings import Settings
from features.task_metrics import LANDED_ROWS, SUCCESS, TASK_METRICS, record, recording
from features.validation import validate
from tests.features.landing_rows import DAY, land_day, watch


def figures(settings: Settings, task: str) -> dict[tuple[str, ...], float]:
    """Value by name and label values, in the order of the labels' names."""
    text = (settings.metrics / f"{task}.prom").read_text()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_tasks_of_ingest_leave_what_they_counted(settings: Settings) -> None:
    land_day(settings, [*(watch(name) for name in "aabcde"), b"broken"])
    before = time.time()
    commit(validate(stage([DAY], settings=settings), settings=settings), settings=settings)
    assert figures(settings, "stage")["facet_task_success", "stage"] == 1
    validated, committed = figures(settings, "validate"), figures(settings, "commit")
    assert (validated["facet_validation_failures", "block"], committed[SUCCESS, "commit"]) == (0, 1)
    landed = {
        key[1]: value for key, value in committed.items() if key[0] == LANDED_ROWS and key[2] == "watches"
    }
    assert landed == {"kept": 5, "duplicate": 1, "quarantined": 1}
    refused = [value for key, value in committed.items() if key[0] == "facet_quarantined_rows"]
    assert refused == [1]
    assert before <= committed["facet_task_finished_timestamp_seconds", "commit"] <= time.time()


def test_a_task_that_failed_says_so_with_what_it_saw(settings: Settings) -> None:
    land_day(settings, [watch("a", hour=1)])  # hours of silence until the day ends
    folder = stage([DAY], settings=settings)
    with pytest.raises(InvalidDataError):
        validate(folder, settings=settings)
    seen = figures(settings, "validate")
    assert seen[SUCCESS, "validate"] == 0
    assert seen["facet_validation_failures", "block"] >= 1
    with pytest.raises(BadInputError):
        stage(["2026-03-09"], settings=settings)
    assert figures(settings, "stage")[SUCCESS, "stage"] == 0


def test_a_figure_belongs_to_the_innermost_task_and_to_nobody_outside(settings: Settings) -> None:
    record(VERIFIED := "facet_verified_index_recall", 0.5, channel="outside")
    with recording("outer", settings):
        with recording("inner", settings):
            record(VERIFIED, 1, channel="interests")
        assert (VERIFIED, "interests") in figures(settings, "inner")
    assert [key for key in figures(settings, "outer") if key[0] == VERIFIED] == []


def test_a_task_does_not_fail_because_its_figures_cannot_be_written(settings: Settings) -> None:
    settings.root.mkdir()
    settings.metrics.write_text("a file where the folder should be")
    with recording("stage", settings):
        pass
    assert settings.metrics.is_file()


def test_a_figure_that_the_table_does_not_name_is_refused() -> None:
    with pytest.raises(AssertionError, match="table"):
        record(LANDED_ROWS, 1, table="watches")
    assert all(name.startswith("facet_") for name in TASK_METRICS)
