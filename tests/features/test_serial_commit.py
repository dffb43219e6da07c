"""Days that are staged at once are committed one after the other, whoever was staged upon older rows."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from features.errors import InvalidDataError, RetryLaterError
from features.ingest import ingest, stage
from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.serial_commit import LOCK, commit_in_turn
from features.settings import Settings
from features.validation import validate
from tests.features.landing_rows import DAY, land_day, watch

NEXT_DAY = "2026-03-03"


def land_two_days(settings: Settings) -> None:
    """The second day brings an event of the first."""
    land_day(settings, [watch("a")])
    land_day(settings, [watch("late"), watch("b", day=NEXT_DAY)], day=NEXT_DAY)


def checksums(settings: Settings) -> dict[str, str]:
    lake = Lake(settings)
    tables = (WATCHES, VIDEOS, USERS)
    return {f"{table}/{day}": lake.checksum(table, day) for table in tables for day in lake.day_counts(table)}


def test_a_stage_that_another_commit_made_stale_is_staged_again(settings: Settings, tmp_path: Path) -> None:
    undisturbed = Settings(home=tmp_path / "undisturbed")
    for each in (settings, undisturbed):
        land_two_days(each)
    ingest([DAY, NEXT_DAY], settings=undisturbed)
    folders = [validate(stage([day], settings=settings), settings=settings) for day in (DAY, NEXT_DAY)]
    assert [commit_in_turn(folder, settings=settings) for folder in folders] == [[DAY], [NEXT_DAY]]
    assert checksums(settings) == checksums(undisturbed)


def test_both_at_once_lose_nothing(settings: Settings) -> None:
    land_two_days(settings)
    folders = [validate(stage([day], settings=settings), settings=settings) for day in (DAY, NEXT_DAY)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda folder: commit_in_turn(folder, settings=settings), folders))
    assert Lake(settings).read_days(WATCHES)["event_id"].to_pylist() == ["a", "late", "b"]


def test_a_stage_that_was_cleared_is_made_again_from_the_days_of_its_name(settings: Settings) -> None:
    land_two_days(settings)
    folder = validate(stage([DAY, NEXT_DAY], settings=settings), settings=settings)
    shutil.rmtree(folder)
    assert commit_in_turn(folder, settings=settings) == [DAY, NEXT_DAY]


def test_a_stage_that_did_not_pass_validation_stays_refused(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    with pytest.raises(InvalidDataError, match="has not passed validation"):
        commit_in_turn(stage([DAY], settings=settings), settings=settings)
    assert not Lake(settings).has(WATCHES)


def test_a_commit_that_does_not_end_is_named_and_waited_for_no_longer_than_allowed(
    settings: Settings,
) -> None:
    land_day(settings, [watch("a")])
    folder = validate(stage([DAY], settings=settings), settings=settings)
    with FileLock(settings.lake / LOCK), pytest.raises(RetryLaterError, match="another ingest commits"):
        commit_in_turn(folder, settings=settings, lock_seconds=0.1)
