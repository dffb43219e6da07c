"""What is known of a play: the rule for positives, completion, tags."""

import itertools

import pytest

from features.aggregates.engines import Engine
from features.aggregates.plays import plays_of, positive, tags_of
from features.lake import connect, curated_schema
from features.positives import PositiveRule
from features.schema import VIDEOS, WATCHES
from tests.features.aggregates.conftest import MakeTable, fetch
from tests.features.aggregates.logs import MONDAY, video, watch

RULE = PositiveRule()
SNAPSHOT = {"landing_day": MONDAY, "snapshot_day": MONDAY}


def test_a_positive_is_what_the_rule_says_in_sql_except_that_unknown_stays_null(
    engine: Engine, make: MakeTable
) -> None:
    cases = list(
        itertools.product(
            (None, True, False), (None, 0.0, 8.9, 9.0, 17.9, 18.0, 90.0), (None, 0.0, 10.0, 100.0)
        )
    )
    rows = [watch(i, i, 1, long_watch=long, watch_seconds=secs) for i, (long, secs, _) in enumerate(cases)]
    videos = [video(i, duration_seconds=duration) | SNAPSHOT for i, (_, _, duration) in enumerate(cases)]
    watches, snapshot = (
        make(rows, curated_schema(WATCHES)),
        make(videos, curated_schema(VIDEOS)).select("video_id", "duration_seconds"),
    )
    joined = watches.left_join(snapshot, "video_id")
    ours = fetch(
        engine,
        joined.select("long_watch", "watch_seconds", "duration_seconds", positive=positive(joined, RULE)),
    )
    theirs = connect().sql(f"SELECT {RULE.positive_sql()} FROM ours").fetchall()
    assert ours.num_rows == len(cases)
    for row, (expected,) in zip(ours.to_pylist(), theirs, strict=True):
        unknown = row["long_watch"] is None and row["watch_seconds"] is None
        assert row["positive"] is (None if unknown else expected), row


@pytest.mark.parametrize(
    ("watch_seconds", "duration", "micros"),
    [
        (5.0, 20.0, 250_000),
        (20.0, 20.0, 1_000_000),
        (50.0, 20.0, 1_000_000),  # watched twice and a half
        (1.0, 3.0, 333_333),
        (2.0, 3.0, 666_667),
        (0.0, 3.0, 0),
        (None, 20.0, None),
        (5.0, None, None),
        (5.0, 0.0, None),
    ],
)
def test_completion_is_at_most_one_and_unknown_without_both_times(
    engine: Engine, make: MakeTable, watch_seconds: float | None, duration: float | None, micros: int | None
) -> None:
    watches = make([watch(1, 1, 1, watch_seconds=watch_seconds)], curated_schema(WATCHES))
    videos = make([video(1, duration_seconds=duration) | SNAPSHOT], curated_schema(VIDEOS))
    found = fetch(engine, plays_of(watches, videos, RULE))
    assert found["completion_micros"].to_pylist() == [micros]


def test_a_watch_of_an_unknown_video_stays(engine: Engine, make: MakeTable) -> None:
    watches = make([watch(1, 99, 1, liked=True)], curated_schema(WATCHES))
    videos = make([video(1) | SNAPSHOT], curated_schema(VIDEOS))
    (row,) = fetch(engine, plays_of(watches, videos, RULE)).to_pylist()
    assert (row["likes"], row["completion_micros"], row["long_watches"]) == (True, None, None)


def test_a_tag_that_is_listed_twice_counts_once(engine: Engine, make: MakeTable) -> None:
    rows = [video(1, 5, 6, 5), video(2), video(3, tag_ids=None)]
    videos = make([row | SNAPSHOT for row in rows], curated_schema(VIDEOS))
    found = fetch(engine, tags_of(videos)).to_pylist()
    assert sorted((row["video_id"], row["tag_id"]) for row in found) == [(1, 5), (1, 6)]
