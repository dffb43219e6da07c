"""Exposures through ingest: whenever they land, watches end up the same."""

import itertools
from pathlib import Path

import pytest

from features.config import ValidationConfig
from features.errors import InvalidDataError, StaleStageError
from features.ingest import commit, ingest, stage
from features.lake import Lake
from features.schema import EXPOSURES, USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.validation import validate
from tests.features.landing_rows import land, user, video, watch

pytestmark = pytest.mark.slow
MONDAY, TUESDAY, WEDNESDAY = DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")
LIMITS = ValidationConfig(severities={"volume": "warn", "freshness": "warn"}, max_quarantined=1)


def exposure(request_id: str, video_id: int, time: str, **changes: object) -> dict[str, object]:
    """A good exposure."""
    row = {"request_id": request_id, "user_id": 1, "video_id": video_id, "event_time": f"{time}+00:00"}
    return row | {"rank": 3, "channel": "recall", "interest": 2, "release": "a", "arm": "b"} | changes


def settings_of(home: Path) -> Settings:
    return Settings(home=home, validation=LIMITS)


def land_everything(settings: Settings) -> Settings:
    """Monday's exposures arrive with its watches, before them and two days late."""
    for day in DAYS:
        land(settings, VIDEOS, [video(i) for i in range(10)], day=day)
        land(settings, USERS, [user(i) for i in range(5)], day=day)
    land(settings, WATCHES, [watch("m1", 12, request_id="r1"), watch("m2", 13, request_id="r2", video_id=2)])
    late = [watch("late", 14, request_id="r1", video_id=3)]
    late.append(watch("own", 15, request_id="r1", channel="search"))
    night = watch("night", 0, day=TUESDAY, request_id="r9", video_id=9)
    land(settings, WATCHES, [*late, night, watch("none", 1, day=TUESDAY)], day=TUESDAY)
    land(settings, WATCHES, [watch("w", 1, day=WEDNESDAY, request_id="r9", video_id=9)], day=WEDNESDAY)
    with_watches = [exposure("r1", 7, f"{MONDAY}T11:59:00"), exposure("r1", 3, f"{MONDAY}T11:59:00", rank=4)]
    land(settings, EXPOSURES, with_watches, day=MONDAY)
    late = [exposure("r2", 2, f"{MONDAY}T12:00:00", interest=0), exposure("r9", 9, f"{MONDAY}T23:59:00")]
    land(settings, EXPOSURES, [*late, with_watches[0]], day=WEDNESDAY)
    return settings


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Everything in one ingest."""
    settings = land_everything(settings_of(tmp_path_factory.mktemp("calm")))
    staged = ingest(DAYS, settings=settings)
    [count] = [c for c in staged.counts if (c.table, c.landing_day) == (EXPOSURES, WEDNESDAY)]
    assert (count.read, count.kept, count.duplicate, count.quarantined) == (3, 2, 1, 0)
    return settings


def sums(settings: Settings) -> dict[str, str]:
    lake = Lake(settings)
    days = {table: lake.day_counts(table) for table in (WATCHES, EXPOSURES)}
    return {f"{table}/{day}": lake.checksum(table, day) for table in days for day in days[table]}


def filled(settings: Settings) -> dict[str, tuple[str | None, int | None]]:
    rows = Lake(settings).read_days(WATCHES).to_pylist()
    return {row["event_id"]: (row["channel"], row["interest"]) for row in rows}


def test_watches_learn_channel_and_interest(calm: Settings) -> None:
    assert filled(calm) == {
        "m1": ("recall", 2),
        "m2": ("recall", 0),
        "late": ("recall", 2),
        "own": ("search", 2),
        "night": ("recall", 2),
        "none": (None, None),
        "w": (None, None),
    }, "the last one is two days after its exposure"
    assert Lake(calm).day_counts(EXPOSURES) == {MONDAY: 4}


@pytest.mark.parametrize("order", list(itertools.permutations(DAYS)))
def test_no_order_of_ingests_makes_a_difference(
    calm: Settings, tmp_path: Path, order: tuple[str, ...]
) -> None:
    settings = land_everything(settings_of(tmp_path))
    for day in order:
        ingest([day], settings=settings)
    assert sums(settings) == sums(calm)
    ingest([order[0]], settings=settings)
    assert sums(settings) == sums(calm), "again changes nothing"


@pytest.mark.parametrize("first", [MONDAY, TUESDAY])
def test_days_that_are_staged_at_once_find_each_other(tmp_path: Path, first: str) -> None:
    settings = settings_of(tmp_path)
    for day in (MONDAY, TUESDAY):
        land(settings, VIDEOS, [video(i) for i in range(10)], day=day)
    land(settings, WATCHES, [watch("noon", 13)])
    land(settings, EXPOSURES, [exposure("r9", 9, f"{MONDAY}T23:59:00")])
    land(settings, WATCHES, [watch("night", 0, day=TUESDAY, request_id="r9", video_id=9)], day=TUESDAY)
    stages = {day: validate(stage([day], settings=settings), settings=settings) for day in (MONDAY, TUESDAY)}
    commit(stages.pop(first), settings=settings)
    [(second, folder)] = stages.items()
    with pytest.raises(StaleStageError, match="again"):
        commit(folder, settings=settings)
    ingest([second], settings=settings)
    assert filled(settings)["night"] == ("recall", 2)


def test_corrected_exposures_correct_the_watches(tmp_path: Path) -> None:
    settings = land_everything(settings_of(tmp_path / "mended"))
    ingest(DAYS, settings=settings)
    fresh = land_everything(settings_of(tmp_path / "fresh"))
    for home in (settings, fresh):
        land(home, EXPOSURES, [exposure("r1", 7, f"{MONDAY}T11:59:00", channel="popular", interest=None)])
    ingest([MONDAY], settings=settings)
    ingest(DAYS, settings=fresh)
    found = filled(settings)
    assert (found["m1"], found["own"]) == (("popular", None), ("search", None))
    assert found["late"] == (None, None), "its exposure is gone"
    assert sums(settings) == sums(fresh)


def test_bad_exposures_are_refused_with_a_reason(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    land(settings, WATCHES, [watch("m1", 13)])
    land(settings, VIDEOS, [video(i) for i in range(10)])
    good = exposure("r1", 7, f"{MONDAY}T12:00:00")
    bad = [{"request_id": None}, {"rank": -1}, {"user_id": -1}, {"event_time": f"{TUESDAY}T00:00:00Z"},
           {"interest": "x"}, {"arm": "x" * 300}]  # fmt: skip
    land(settings, EXPOSURES, [good, *(good | change for change in bad)])
    staged = ingest([MONDAY], settings=settings)
    [count] = [count for count in staged.counts if count.table == EXPOSURES]
    assert (count.read, count.kept, count.quarantined) == (7, 1, 6)
    assert set(count.rules) == {
        "request_id is missing",
        "rank is negative",
        "user_id is negative",
        "event_time lies after its landing day: clock ahead",
        "interest is not an integer of 32 bits",
        "arm is longer than 256 characters",
    }


def test_exposures_of_videos_that_nobody_knows_stop_the_day(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    land(settings, WATCHES, [watch("m1", 13)])
    land(settings, VIDEOS, [video(7)])
    land(settings, EXPOSURES, [exposure("r1", video_id, f"{MONDAY}T12:00:00") for video_id in (7, 8)])
    with pytest.raises(InvalidDataError, match=r"exposures\.known_videos"):
        ingest([MONDAY], settings=settings)
