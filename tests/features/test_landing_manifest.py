"""Each landing file is read once, and a changed one is noticed."""

import os

from structlog.testing import capture_logs

from features.ingest import ingest
from features.lake import Lake
from features.landing_manifest import Manifest, landed_days, late_days, pending_days
from features.schema import WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY, land, land_day, watch

NEXT_DAY = "2026-03-03"
FIVE = [watch(name) for name in "abcde"]


def rows(settings: Settings) -> int:
    return Lake(settings).day_counts(WATCHES)[DAY]


def test_a_day_is_pending_until_it_is_committed(settings: Settings) -> None:
    assert pending_days(settings) == []
    land_day(settings, FIVE)
    land_day(settings, [watch(f"n{i}", day=NEXT_DAY) for i in range(5)], day=NEXT_DAY)
    assert pending_days(settings) == [DAY, NEXT_DAY]
    ingest([NEXT_DAY], settings=settings)
    assert pending_days(settings) == [DAY]
    assert ingest(settings=settings).landing_days == [DAY]
    assert pending_days(settings) == []
    assert ingest(settings=settings).partitions == []


def test_a_late_file_makes_its_day_pending(settings: Settings) -> None:
    land_day(settings, FIVE)
    ingest(settings=settings)
    land(settings, WATCHES, [watch("late")], name="late.jsonl")
    with capture_logs() as logs:
        ingest(settings=settings)
    told = [(event["event"], event["file"]) for event in logs if "file" in event]
    assert told == [("late file", f"watches/{DAY}/late.jsonl")]
    assert rows(settings) == 6


def test_days_that_never_came_are_pending_but_not_late(settings: Settings) -> None:
    land_day(settings, FIVE)
    ingest(settings=settings)
    land_day(settings, [watch("n", day=NEXT_DAY)], day=NEXT_DAY)
    assert (pending_days(settings), late_days(settings)) == ([NEXT_DAY], [])
    land(settings, WATCHES, [watch("late")], name="late.jsonl")
    assert (pending_days(settings), late_days(settings)) == ([DAY, NEXT_DAY], [DAY])


def test_a_day_has_landed_when_its_producer_says_so_and_until_it_is_ingested(settings: Settings) -> None:
    land_day(settings, FIVE)
    assert landed_days(settings) == []
    (settings.landing / WATCHES / DAY / ".complete").touch()
    (settings.landing / WATCHES / NEXT_DAY).mkdir()
    (settings.landing / WATCHES / NEXT_DAY / ".complete").touch()  # a marker without files is no day
    assert landed_days(settings) == [DAY]
    ingest(settings=settings)
    land(settings, WATCHES, [watch("late")], name="late.jsonl")
    assert (landed_days(settings), late_days(settings)) == ([], [DAY])


def test_a_changed_file_is_noticed_and_its_rows_are_replaced(settings: Settings) -> None:
    land_day(settings, FIVE)
    ingest(settings=settings)
    path = land(settings, WATCHES, [watch(name) for name in "abcdefg"])
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert pending_days(settings) == [DAY]
    with capture_logs() as logs:
        ingest(settings=settings)
    assert [e["event"] for e in logs if e.get("file") == f"watches/{DAY}/a.jsonl"] == [
        "file changed since its rows were ingested; they are replaced"
    ]
    assert rows(settings) == 7


def test_a_cleared_landing_area_is_not_pending(settings: Settings) -> None:
    land_day(settings, FIVE)
    more = land(settings, WATCHES, [watch("f")], name="b.jsonl")
    ingest(settings=settings)
    more.unlink()
    assert pending_days(settings) == []


def test_other_rules_make_every_day_pending(settings: Settings) -> None:
    land_day(settings, FIVE)
    ingest(settings=settings)
    manifest = Manifest.read(settings, DAY)
    assert manifest is not None
    manifest.model_copy(update={"rules": "older"}).write(settings, DAY)
    assert pending_days(settings) == [DAY]


def test_changes_are_told_by_name() -> None:
    manifest = Manifest(rules="r", files={"a": "1", "b": "1", "c": "1"})
    assert manifest.changes({"b": "2", "c": "1", "d": "1"}) == {"a": "removed", "b": "changed", "d": "new"}
