"""Wrong feature rows are refused before they are written."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from features.errors import InvalidDataError, RetryLaterError
from features.lake import connect
from features.schema import TIMESTAMP
from features.settings import Settings
from features.validation.checks import measure
from features.validation.features_suite import Expected, FeatureChecks, view_checks
from features.validation.results import read_runs
from tests.features.landing_rows import DAY

END = datetime(2026, 3, 3, tzinfo=UTC)
COLUMNS = {
    "video_id": [1, 2],
    "plays_1d": [3, 1],
    "plays_7d": [5, 1],
    "long_watch_rate_1d": [0.5, None],
    "trend": [1.0, 0.9],
}
EXPECTED = Expected(rows={"user_history": 2}, plays={"video_stats": 4})


def stats(**changes: list[object]) -> pa.Table:
    columns = COLUMNS | changes
    return pa.table(columns).append_column("event_timestamp", pa.repeat(pa.scalar(END, TIMESTAMP), 2))


def history(**changes: list[object]) -> pa.Table:
    columns = {
        "user_id": [1, 2],
        "video_ids": [[7], [7, 8]],
        "event_times": [[1], [1, 2]],
        "actions": [[0], [0, 1]],
    }
    return pa.table(columns | changes).append_column(
        "event_timestamp", pa.repeat(pa.scalar(END, TIMESTAMP), 2)
    )


def failing(view: str, rows: pa.Table, day: str = DAY) -> set[str]:
    connection = connect().register("rows", rows)
    figures = measure(connection, view_checks(view, rows.schema, day, EXPECTED))
    return {
        figure.check.name
        for figure in figures
        if (figure.check.high is not None and figure.value > figure.check.high)
        or (figure.check.low is not None and figure.value < figure.check.low)
    }


def test_right_rows_pass_and_their_results_are_stored(settings: Settings) -> None:
    checks = FeatureChecks([DAY], settings)
    run = checks.check({"video_stats": stats(), "user_history": history()}, DAY, EXPECTED)
    assert run.source == "features"
    assert all(result.success for result in run.results)
    assert read_runs(settings) == [run]
    assert checks.build_docs() == run.data_docs


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        (stats(video_id=[1, 1]), "video_stats.unique.video_id"),
        (stats(video_id=[1, None]), "video_stats.not_null.video_id"),
        (stats(plays_1d=[4, None]), "video_stats.range.counts"),
        (stats(plays_1d=[5, -1]), "video_stats.range.counts"),
        (stats(plays_7d=[2, 1]), "video_stats.range.windows"),
        (stats(long_watch_rate_1d=[1.01, 0.0]), "video_stats.range.rates"),
        (stats(long_watch_rate_1d=[float("nan"), 0.0]), "video_stats.range.rates"),
        (stats(trend=[float("inf"), 0.0]), "video_stats.range.numbers"),
        (stats(plays_1d=[3, 0]), "video_stats.counts.plays_1d"),
        (history(actions=[[0], [0]]), "user_history.range.lists"),
        (
            history(video_ids=[[], [7, 8]], event_times=[[], [1, 2]], actions=[[], [1, 2]]),
            "user_history.range.lists",
        ),
        (history().slice(0, 1), "user_history.counts.rows"),
    ],
)
def test_a_wrong_row_fails_its_check_alone(rows: pa.Table, name: str) -> None:
    assert failing(name.partition(".")[0], rows) == {name}


def test_rows_of_another_day_fail() -> None:
    assert failing("video_stats", stats(), "2026-03-03") == {"video_stats.partition"}


def test_wrong_features_are_refused_with_example_rows(settings: Settings) -> None:
    with pytest.raises(
        InvalidDataError, match=r"features of 2026-03-02 are wrong and were not written"
    ) as refused:
        FeatureChecks([DAY], settings).check(
            {"video_stats": stats(long_watch_rate_1d=[1.5, 0.5])}, DAY, EXPECTED
        )
    assert "'video_id': '1', 'long_watch_rate_1d': '1.5'" in str(refused.value)
    assert [result.name for result in read_runs(settings)[0].blocking] == ["video_stats.range.rates"]


def test_counts_that_differ_from_the_watches_may_heal(settings: Settings) -> None:
    with pytest.raises(RetryLaterError, match="ingested meanwhile"):
        FeatureChecks([DAY], settings).check({"video_stats": stats(plays_1d=[3, 0])}, DAY, EXPECTED)
