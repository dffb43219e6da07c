"""A day is computed once, again if it was rewritten, and then equals a computation from nothing."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from features.aggregates.config import AggregatesConfig
from features.aggregates.engines import open_engine
from features.aggregates.store import COUNTS_OF, Aggregates
from features.days import add_days
from features.errors import BadInputError
from features.positives import PositiveRule
from features.schema import TAG_ID, UPLOADER_ID, VIDEO_ID
from features.settings import Settings
from tests.features.aggregates.logs import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    random_videos,
    random_watches,
    video,
    watch,
    write_videos,
    write_watches,
)

DAYS = [add_days(MONDAY, age) for age in range(4)]
LAST = DAYS[-1]


@pytest.fixture
def home(settings: Settings) -> Settings:
    write_videos(settings, random_videos())
    write_watches(settings, [row for day in DAYS for row in random_watches(day, 40)])
    return settings


def everything(aggregates: Aggregates) -> list[pa.Table]:
    tables = [aggregates.stats(entity, LAST) for entity in COUNTS_OF]
    tables += [aggregates.affinities(entity, LAST, everyone=True) for entity in (UPLOADER_ID, TAG_ID)]
    tables += [aggregates.affinities(TAG_ID, LAST)]
    return [*tables, aggregates.transitions(DAYS)]


def from_nothing(home: Settings) -> list[pa.Table]:
    shutil.rmtree(home.root / "aggregates", ignore_errors=True)
    return everything(Aggregates(home))


def test_days_are_computed_once_and_a_new_one_costs_itself(home: Settings) -> None:
    assert Aggregates(home).update(DAYS) == DAYS
    assert Aggregates(home).update(DAYS) == []
    new = add_days(LAST, 1)
    write_watches(home, random_watches(new, 40))
    assert Aggregates(home).update([*DAYS, new]) == [new]


def test_day_by_day_equals_all_at_once(settings: Settings) -> None:
    write_videos(settings, random_videos())
    for day in DAYS:
        write_watches(settings, random_watches(day, 40))
        Aggregates(settings).update([day])
        Aggregates(settings).update_transitions([day])
    assert everything(Aggregates(settings)) == from_nothing(settings)


def test_a_late_event_recomputes_its_day_alone_and_gives_what_a_full_run_gives(home: Settings) -> None:
    before = everything(Aggregates(home))
    late = watch(1, 2, 23.99, day=DAYS[2], landed=LAST, long_watch=True, liked=True)
    write_watches(home, [*random_watches(DAYS[2], 40), late])
    assert Aggregates(home).update(DAYS) == [DAYS[2]]
    assert Aggregates(home).update_transitions(DAYS) == DAYS[2:4], "a pair may begin on the day before"
    after = everything(Aggregates(home))
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert after == from_nothing(home)


def test_another_rule_makes_other_sums_and_another_session_cut_other_pairs_only(home: Settings) -> None:
    Aggregates(home).update(DAYS)
    Aggregates(home).update_transitions(DAYS)
    stricter = home.model_copy(update={"rule": PositiveRule(min_seconds=40)})
    assert Aggregates(stricter).update(DAYS) == DAYS
    Aggregates(home).update(DAYS)
    cut = home.model_copy(update={"aggregates": AggregatesConfig(pair_gap_minutes=30)})
    assert Aggregates(cut).update(DAYS) == []
    assert Aggregates(cut).update_transitions(DAYS) == DAYS


def test_attributes_are_those_of_the_newest_snapshot_up_to_the_day(settings: Settings) -> None:
    write_watches(settings, [watch(1, 1, 1, day=day) for day in (MONDAY, TUESDAY, WEDNESDAY)])
    write_videos(settings, [video(1, 5)], day=TUESDAY)
    write_videos(settings, [video(1, 6)], day=WEDNESDAY)
    found = Aggregates(settings).stats(TAG_ID, WEDNESDAY).to_pylist()
    plays = {row["tag_id"]: (row["plays_1d"], row["plays_7d"]) for row in found}
    assert plays == {5: (0, 2), 6: (1, 1)}, "Monday has no snapshot before it: the oldest counts"


def test_superseded_sums_and_those_of_deleted_homes_are_removed(home: Settings) -> None:
    Aggregates(home).update(DAYS)
    write_watches(home, random_watches(DAYS[0], 50))
    Aggregates(home).update([DAYS[0]])
    daily = home.root / "aggregates" / "daily"
    assert len(list((daily / DAYS[0]).iterdir())) == 1
    killed = daily / DAYS[0] / ".half.1.abc"
    killed.mkdir()
    (home.root / "aggregates" / "daily" / "2020-01-01" / "old").mkdir(parents=True)
    assert Aggregates(home).prune() == 2
    assert not killed.exists()
    assert Aggregates(home).update(DAYS) == []


def test_whoever_computes_the_same_day_at_the_same_time_does_no_harm(home: Settings) -> None:
    one, other = Aggregates(home), Aggregates(home)
    folder = next(iter(_built(home, one)))
    content = {path.name for path in folder.iterdir()}
    other._build(folder, DAYS[0])
    assert {path.name for path in folder.iterdir()} == content
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_without_videos_there_is_nothing_to_aggregate(settings: Settings) -> None:
    write_watches(settings, [watch(1, 1, 1)])
    with pytest.raises(BadInputError, match="no videos"):
        Aggregates(settings).stats(VIDEO_ID, MONDAY)


@pytest.mark.slow
def test_spark_gives_the_rows_of_duckdb(home: Settings, tmp_path: Path) -> None:
    spark = AggregatesConfig(engine="spark", spark_master="local[2]")
    duckdb = everything(Aggregates(home))
    on_spark = home.model_copy(update={"aggregates": spark})
    shutil.rmtree(home.root / "aggregates")
    ours = Aggregates(on_spark, engine=open_engine(spark, tmp_path))
    for left, right in zip(duckdb, everything(ours), strict=True):
        assert left.num_rows > 0
        assert left == right
    # What one engine stored, the other reads.
    assert everything(Aggregates(home)) == duckdb
    assert Aggregates(home).update(DAYS) == []


def _built(home: Settings, aggregates: Aggregates) -> list[Path]:
    aggregates.update([DAYS[0]])
    return list((home.root / "aggregates" / "daily" / DAYS[0]).iterdir())
