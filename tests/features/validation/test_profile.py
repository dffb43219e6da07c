"""Shares of a day by bucket, and how far they moved."""

import math

import duckdb
import pytest

from features.config import ValidationConfig
from features.ingest import ingest
from features.lake import Lake, connect
from features.schema import DEVICE, SEGMENT, USERS, WATCH_SECONDS, WATCHES
from features.settings import Settings
from features.validation.profile import (
    MAX_BUCKETS,
    Profile,
    drift_checks,
    lake_profile,
    profile_of,
    stability_index,
)
from tests.features.landing_rows import DAY, land_day, watch


def of_segments(**rows: int) -> Profile:
    return Profile(rows=sum(rows.values()), buckets={SEGMENT: rows})


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    return connect()


def test_the_index_is_that_of_siddiqi_with_half_a_row_in_every_bucket(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    index, moved = stability_index(connection, {"a": 30, "b": 70}, {"a": 500, "b": 500})
    p, q = (30.5 / 101, 70.5 / 101), 500.5 / 1001
    assert index == pytest.approx(sum((share - q) * math.log(share / q) for share in p))
    assert moved == "a 50.0% -> 30.2%, b 50.0% -> 69.8%", "the logarithm weighs the fall of a more"


def test_equal_shares_have_no_drift_and_a_new_bucket_a_finite_one(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert stability_index(connection, {"a": 50, "b": 50}, {"a": 500, "b": 500})[0] == pytest.approx(0)
    assert 1 < stability_index(connection, {"a": 50, "b": 50}, {"a": 500})[0] < 10


def test_a_small_day_or_a_short_past_is_not_judged(connection: duckdb.DuckDBPyConnection) -> None:
    limits = ValidationConfig(min_baseline_days=2, min_drift_rows=100)
    full, small = of_segments(young=60, old=40), of_segments(young=9, old=9)
    assert drift_checks(connection, USERS, full, [full], limits) == [], "one day is no past"
    assert drift_checks(connection, USERS, small, [full, full], limits) == []
    assert drift_checks(connection, USERS, full, [small, small], limits) == []
    [check] = drift_checks(connection, USERS, full, [full, full], limits)
    assert (check.name, check.high) == ("users.drift.segment", 0.25)
    assert float(check.sql) == pytest.approx(0, abs=1e-4)


def test_values_are_counted_by_bucket_and_rare_ones_together(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"""
        CREATE TABLE rows AS
        SELECT TIMESTAMPTZ '2026-03-02 05:30:00+00' AS event_time, 7 AS video_id, NULL::VARCHAR AS scene,
               true AS long_watch, NULL::BOOLEAN AS liked, 5.0 AS {WATCH_SECONDS},
               'd' || (i // 2) AS {DEVICE}
        FROM range({2 * MAX_BUCKETS + 6}) AS numbers(i)
    """)
    connection.execute("CREATE TABLE videos AS SELECT 7 AS video_id, 20.0 AS duration_seconds")
    profile = profile_of(connection, WATCHES)
    assert profile.rows == 106
    assert profile.mean_watch_seconds == 5.0
    assert profile.buckets["hour"] == {"5": 106}
    assert profile.buckets["scene"] == profile.buckets["liked"] == {"unknown": 106}
    assert profile.buckets[WATCH_SECONDS] == {"below 7": 106}
    assert profile.buckets["completion"] == {"below 0.5": 106}, "5 of 20 seconds is a quarter, not below it"
    assert len(profile.buckets[DEVICE]) == MAX_BUCKETS + 1
    assert profile.buckets[DEVICE]["other"] == 6


def test_a_committed_day_is_counted_again_only_if_it_was_rewritten(settings: Settings) -> None:
    land_day(settings, [watch("a", hour=23)])
    ingest([DAY], settings=settings)
    lake, connection = Lake(settings), connect()
    connection.execute("CREATE TABLE videos AS SELECT 7 AS video_id, 20.0 AS duration_seconds")
    first = lake_profile(connection, lake, settings, WATCHES, DAY)
    noted = settings.reports / "validation" / "profiles" / WATCHES / f"{DAY}.json"
    noted.write_text(noted.read_text().replace('"rows":1', '"rows":77'))
    assert lake_profile(connection, lake, settings, WATCHES, DAY).rows == 77, "the note is read"
    lake.write_day(WATCHES, DAY, lake.read_days(WATCHES, [DAY]))
    assert lake_profile(connection, lake, settings, WATCHES, DAY).rows == 1
    assert first.buckets["hour"] == {"23": 1}
