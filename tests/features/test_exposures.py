"""Watches learn from exposures what they do not say themselves."""

import duckdb
import pytest

from features.exposures import exposure_days, filled_sql, own_sql, watch_days

EXPOSURES = """
    SELECT * FROM (VALUES
        ('r1', 7, 'recall', 2, TIMESTAMPTZ '2026-03-02 12:00:00+00'),
        ('r1', 8, 'popular', NULL, TIMESTAMPTZ '2026-03-02 12:00:00+00'),
        ('r2', 7, 'recall', 1, TIMESTAMPTZ '2026-03-01 23:59:00+00'),
        ('r2', 7, 'recall', 3, TIMESTAMPTZ '2026-03-02 23:59:00+00')
    ) AS t(request_id, video_id, channel, interest, event_time)
"""


def filled(request_id: str | None, video_id: int, channel: str | None, interest: int | None,
           extra: str | None = None) -> tuple:  # fmt: skip
    sql = duckdb.connect()
    sql.execute(f"CREATE TABLE exposures AS {EXPOSURES}")
    sql.execute(
        "CREATE TABLE watches AS SELECT $1::VARCHAR AS request_id, $2 AS video_id, $3::VARCHAR AS channel, "
        "$4::INTEGER AS interest, $5::VARCHAR AS extra",
        [request_id, video_id, channel, interest, extra],
    )
    sql.execute(f"CREATE TABLE once AS {filled_sql('watches', 'exposures')}")
    [found] = sql.execute("SELECT channel, interest, extra FROM once").fetchall()
    assert sql.execute(
        f"SELECT channel, interest, extra FROM ({filled_sql('once', 'exposures')})"
    ).fetchall() == [found], "filled twice is filled once"
    assert sql.execute(f"FROM ({own_sql('once')}) EXCEPT FROM watches").fetchall() == []
    return found


@pytest.mark.parametrize(
    ("watch", "expected"),
    [
        (("r1", 7, None, None), ("recall", 2, '{"from_exposure":"channel interest"}')),
        (("r1", 8, None, None), ("popular", None, '{"from_exposure":"channel"}')),
        (("r1", 7, "search", None), ("search", 2, '{"from_exposure":"interest"}')),
        (("r1", 7, "recall", 0), ("recall", 0, None)),
        (("r1", 9, None, None), (None, None, None)),
        ((None, 7, None, None), (None, None, None)),
        (("r2", 7, None, None), ("recall", 3, '{"from_exposure":"channel interest"}')),
        (("r1", 7, None, None, '{"a":1}'), ("recall", 2, '{"a":1,"from_exposure":"channel interest"}')),
        (("r1", 9, None, None, '{"a": 1}'), (None, None, '{"a": 1}')),
    ],
)
def test_only_what_is_unknown_is_filled_and_noted(watch: tuple, expected: tuple) -> None:
    assert filled(*watch) == expected


def test_an_exposure_reaches_the_day_after_it() -> None:
    assert exposure_days("2026-03-01") == ["2026-03-01", "2026-02-28"]
    assert watch_days("2026-02-28") == ["2026-02-28", "2026-03-01"]
