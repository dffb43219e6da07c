from datetime import UTC, datetime

import pyarrow as pa
import pytest

from features.errors import BadInputError
from features.lake import Lake, connect, curated_schema
from features.schema import WATCHES
from features.settings import Settings

MONDAY, TUESDAY = "2026-03-02", "2026-03-03"


def rows(day: str, *event_ids: str) -> pa.Table:
    time = datetime.fromisoformat(day).replace(tzinfo=UTC)
    found = [
        {"event_id": e, "user_id": 1, "video_id": 2, "event_time": time, "landing_day": day, "event_day": day}
        for e in event_ids
    ]
    columns = {name: [row.get(name) for row in found] for name in curated_schema(WATCHES).names}
    return pa.table(columns, schema=curated_schema(WATCHES))


def event_ids(lake: Lake, *days: str, version: int | None = None) -> list[str]:
    return lake.read_days(WATCHES, days or None, version=version)["event_id"].to_pylist()


def test_writing_a_day_replaces_it_and_leaves_the_others(settings: Settings) -> None:
    lake = Lake(settings)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a", "b"))
    lake.write_day(WATCHES, TUESDAY, rows(TUESDAY, "c"))
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "d"))
    assert event_ids(lake) == ["d", "c"], "old versions on disk are not read"
    assert lake.day_counts(WATCHES) == {MONDAY: 1, TUESDAY: 1}


def test_a_snapshot_can_be_read_after_the_day_was_rewritten(settings: Settings) -> None:
    lake = Lake(settings)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a"))
    before = lake.snapshot(WATCHES)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "b"))
    assert event_ids(lake, version=before) == ["a"]
    assert event_ids(lake) == ["b"]


def test_rows_of_another_day_are_refused(settings: Settings) -> None:
    with pytest.raises(BadInputError, match=TUESDAY):
        Lake(settings).write_day(WATCHES, MONDAY, rows(TUESDAY, "a"))


def test_days_that_were_never_written_are_empty_and_a_missing_table_is_named(settings: Settings) -> None:
    lake = Lake(settings)
    assert event_ids(lake, MONDAY) == []
    assert lake.day_counts(WATCHES) == {}
    with pytest.raises(BadInputError, match="no watches in the lake yet"):
        lake.scan(connect(), WATCHES)


def test_the_checksum_follows_content_and_not_order(settings: Settings) -> None:
    lake = Lake(settings)
    sums = []
    for content in (rows(MONDAY, "a", "b"), rows(MONDAY, "b", "a"), rows(MONDAY, "a", "c")):
        lake.write_day(WATCHES, MONDAY, content)
        sums.append(lake.checksum(WATCHES, MONDAY))
    assert sums[0] == sums[1] != sums[2]


def test_partition_files_change_exactly_when_the_day_is_rewritten(settings: Settings) -> None:
    lake = Lake(settings)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a"))
    before = lake.partition_files(WATCHES, MONDAY)
    lake.write_day(WATCHES, TUESDAY, rows(TUESDAY, "c"))
    assert lake.partition_files(WATCHES, MONDAY) == before
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a"))
    assert lake.partition_files(WATCHES, MONDAY) != before


def test_partitions_are_found_by_the_landing_day_of_their_rows(settings: Settings) -> None:
    lake = Lake(settings)
    late = rows(MONDAY, "late").set_column(
        curated_schema(WATCHES).get_field_index("landing_day"), "landing_day", pa.array([TUESDAY])
    )
    lake.write_day(WATCHES, MONDAY, pa.concat_tables([rows(MONDAY, "a"), late]))
    lake.write_day(WATCHES, "2026-03-01", rows("2026-03-01", "z"))
    assert lake.days_landed_on(WATCHES, [TUESDAY]) == {MONDAY}
    assert lake.days_landed_on(WATCHES, ["2026-03-09"]) == set()


def test_the_latest_day_is_never_after_the_asked_one(settings: Settings) -> None:
    lake = Lake(settings)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a"))
    assert lake.latest_day(WATCHES, TUESDAY) == lake.newest_day(WATCHES, TUESDAY) == MONDAY
    assert lake.newest_day(WATCHES, "2026-03-01") is None
    with pytest.raises(BadInputError, match="no day up to 2026-03-01"):
        lake.latest_day(WATCHES, "2026-03-01")


def test_the_lake_of_an_earlier_moment_reads_what_was_then_and_takes_nothing(settings: Settings) -> None:
    lake = Lake(settings)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a"))
    then = Lake(settings, {WATCHES: lake.snapshot(WATCHES)})
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "b", "c"))
    lake.write_day(WATCHES, TUESDAY, rows(TUESDAY, "d"))
    assert event_ids(then) == ["a"]
    assert then.day_counts(WATCHES) == {MONDAY: 1}
    assert then.snapshot(WATCHES) == 0
    assert not then.has("videos")
    with pytest.raises(BadInputError, match="earlier moment"):
        then.write_day(WATCHES, MONDAY, rows(MONDAY, "e"))


def test_cleaning_keeps_the_newest_version_and_those_that_are_needed(settings: Settings) -> None:
    lake = Lake(settings)
    for event in "abcd":
        lake.write_day(WATCHES, MONDAY, rows(MONDAY, event))
    assert len(lake.clean(WATCHES, keep_days=0, keep_versions=[1])) == 2
    assert event_ids(lake) == ["d"]
    assert event_ids(lake, version=1) == ["b"]
    with pytest.raises(BadInputError, match="files of that version were deleted"):
        event_ids(lake, version=0)
    with pytest.raises(BadInputError, match="no version 99"):
        event_ids(lake, version=99)


def test_cleaning_keeps_what_is_young(settings: Settings) -> None:
    lake = Lake(settings)
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "a"))
    lake.write_day(WATCHES, MONDAY, rows(MONDAY, "b"))
    assert lake.clean(WATCHES, keep_days=1) == []
    assert event_ids(lake, version=0) == ["a"]
    assert lake.clean("users", keep_days=0) == []


def test_a_day_is_one_file_however_often_it_is_rewritten(settings: Settings) -> None:
    lake = Lake(settings)
    for event in "abcde":
        lake.write_day(WATCHES, MONDAY, rows(MONDAY, event))
    assert len(lake.partition_files(WATCHES, MONDAY)) == 1
