"""A red day stops before anybody sees it, and says why; a warning does not stop it."""

from pathlib import Path

import pytest

from features.config import ValidationConfig
from features.errors import InvalidDataError
from features.ingest import ingest
from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.validation import check_days
from features.validation.results import read_runs
from tests.features.landing_rows import DAY, land, land_day, user, video, watch

DAYS = ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"]


def refuse(settings: Settings, day: str = DAY) -> str:
    """Ingest a day that must be refused; returns the error's text."""
    visible = Lake(settings).day_counts(WATCHES)
    with pytest.raises(InvalidDataError) as refused:
        ingest([day], settings=settings)
    assert Lake(settings).day_counts(WATCHES) == visible, "a refused day must stay invisible"
    return str(refused.value)


def watches_of(day: str, count: int, **changes: object) -> list[dict[str, object]]:
    return [watch(f"{day}-{i}", hour=23 - i % 24, day=day, **changes) for i in range(count)]


def with_limits(settings: Settings, **limits: object) -> Settings:
    return settings.model_copy(update={"validation": ValidationConfig.model_validate(limits)})


def test_unknown_videos_stop_the_day_with_example_rows(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAY, 10), watch("stranger", video_id=404)])
    text = refuse(settings)
    assert "watches.known_videos: video_id is in a snapshot of videos: 1 of 11 rows fail (at most 5%)" in text
    assert "'event_id': 'stranger'" in text
    assert "'video_id': '404'" in text


def test_data_docs_are_written_and_linked(settings: Settings) -> None:
    land_day(settings, [watch("stranger", video_id=404)])
    text = refuse(settings)
    link = next(word for word in text.split() if word.startswith("file://"))
    page = Path(link.removeprefix("file://"))
    assert page.is_file()
    assert any("watches.known_videos" in path.read_text() for path in page.parent.rglob("*.html"))
    land_day(settings, [watch("b", hour=23, day=DAYS[1])], day=DAYS[1])
    ingest([DAYS[1]], settings=settings)
    statics = {(place / "static").resolve() for place in page.parent.parent.glob("2026*")}
    assert statics == {page.parent.parent / "static"}, "4 MB of style sheets and fonts are kept once"
    assert any(path.suffix == ".css" for path in (page.parent / "static").resolve().rglob("*"))


def test_a_day_that_ends_too_early_is_refused(settings: Settings) -> None:
    land_day(settings, [watch("a", hour=11)])
    assert "watches.freshness: hours without events at the end of the day: observed 13" in refuse(settings)


def test_row_counts_are_judged_against_the_days_before(settings: Settings) -> None:
    for day in DAYS[:3]:
        land_day(settings, watches_of(day, 100), day=day)
        ingest([day], settings=settings)
    land_day(settings, watches_of(DAYS[3], 19), day=DAYS[3])
    text = refuse(settings, DAYS[3])
    assert "the median of the days before, 100: observed 19 (at least 20, at most 500)" in text
    land_day(settings, watches_of(DAYS[3], 501), day=DAYS[3])
    assert "observed 501" in refuse(settings, DAYS[3])
    land_day(settings, watches_of(DAYS[3], 20), day=DAYS[3])
    ingest([DAYS[3]], settings=settings)


def test_the_days_of_one_call_are_judged_against_each_other(settings: Settings) -> None:
    for day, count in zip(DAYS, (100, 100, 100, 5), strict=True):
        land_day(settings, watches_of(day, count), day=day)
    with pytest.raises(InvalidDataError, match=f"watches {DAYS[3]}: watches.volume"):
        ingest(DAYS, settings=settings)


def test_few_late_events_do_not_make_their_old_day_red(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAYS[1], 50), watch("late", hour=1, day=DAYS[0])], day=DAYS[1])
    ingest([DAYS[1]], settings=settings)
    assert Lake(settings).day_counts(WATCHES) == {DAYS[0]: 1, DAYS[1]: 50}


def test_too_much_dirt_is_a_broken_producer(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAY, 7), *([b"oops"] * 3)])
    assert "3 of 10 rows: {'not JSON': 3} (at most 0.2)" in refuse(settings)


def test_limits_can_be_loosened(settings: Settings) -> None:
    land_day(settings, [watch("stranger", video_id=404)])
    ingest([DAY], settings=with_limits(settings, max_unknown_videos=1.0))


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_VALIDATION__MAX_UNKNOWN_VIDEOS", "0.5")
    monkeypatch.setenv("FACET_VALIDATION__SEVERITIES", '{"watches.freshness": "warn"}')
    limits = Settings().validation
    assert limits.max_unknown_videos == 0.5
    assert limits.severity("watches.freshness") == "warn"
    assert limits.severity("watches.drift.device") == "warn", "defaults stay where nothing is said"


def test_a_video_stays_known_when_today_has_no_snapshot(settings: Settings) -> None:
    land_day(settings, watches_of(DAYS[0], 5))
    ingest([DAYS[0]], settings=settings)
    land(settings, WATCHES, watches_of(DAYS[1], 5), day=DAYS[1])
    ingest([DAYS[1]], settings=settings)


def test_a_snapshot_is_checked_too(settings: Settings) -> None:
    land_day(settings, watches_of(DAY, 5))
    land(settings, VIDEOS, [video(i, duration_seconds=None) for i in range(10)])
    ingest([DAY], settings=settings)  # unknown is allowed
    assert Lake(settings).read_days(VIDEOS)["duration_seconds"].null_count == 10


def test_a_snapshot_that_was_cut_off_is_refused(settings: Settings) -> None:
    land_day(settings, watches_of(DAYS[0], 5))
    ingest([DAYS[0]], settings=settings)
    land_day(settings, watches_of(DAYS[1], 5), day=DAYS[1])
    land(settings, USERS, [user(0), user(1)], day=DAYS[1])
    assert "users.volume: not far fewer rows than the snapshot of 2026-03-02: observed 2" in refuse(
        settings, DAYS[1]
    )
    land(settings, USERS, [user(0), user(1), user(2)], day=DAYS[1])
    ingest([DAYS[1]], settings=settings)  # half of 5 is 2.5


def test_a_warning_is_stored_but_does_not_stop_the_day(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAY, 10), watch("stranger", user_id=99)])
    ingest([DAY], settings=settings)
    [run] = read_runs(settings)
    [missed] = run.warnings
    assert (missed.name, missed.failing_rows, missed.rows) == ("watches.known_users", 1, 11)
    assert missed.examples == [{"event_id": "stranger", "user_id": "99", "video_id": "7"}]
    strict = with_limits(settings, severities={"known_users": "block"})
    assert "watches.known_users" in refuse(strict)


def test_users_are_not_judged_where_nobody_delivers_them(settings: Settings) -> None:
    land(settings, WATCHES, watches_of(DAY, 5))
    land(settings, VIDEOS, [video(7)])
    ingest([DAY], settings=with_limits(settings, severities={"known_users": "block"}))
    assert not any("known_users" in result.name for result in read_runs(settings)[0].results)


def test_a_shift_of_devices_is_a_warning_that_names_what_moved(settings: Settings) -> None:
    limits = with_limits(settings, min_drift_rows=100)
    for day in DAYS[:3]:
        half = watches_of(day, 50, device="phone") + [
            watch(f"{day}t{i}", hour=i % 24, day=day, device="tablet") for i in range(50)
        ]
        land_day(settings, half, day=day)
    land_day(settings, watches_of(DAYS[3], 100, device="tablet"), day=DAYS[3])
    ingest(DAYS, settings=limits)
    [missed] = read_runs(settings)[0].warnings
    assert (missed.name, missed.day) == ("watches.drift.device", DAYS[3])
    assert "phone 50.0% -> 0.5%" in missed.observed
    assert "tablet 50.0% -> 99.5%" in missed.observed


def test_watching_twice_as_long_is_a_warning(settings: Settings) -> None:
    limits = with_limits(settings, min_drift_rows=100, max_drift=99)
    for day in DAYS[:3]:
        land_day(settings, watches_of(day, 100), day=day)
        ingest([day], settings=limits)
    land_day(settings, watches_of(DAYS[3], 100, watch_seconds=10.1), day=DAYS[3])
    ingest([DAYS[3]], settings=limits)
    [missed] = read_runs(settings)[-1].warnings
    assert missed.name == "watches.drift.mean_watch_seconds"
    assert missed.limit == "at least 2.5, at most 10"


def test_committed_days_can_be_judged_again(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAY, 10), watch("stranger", video_id=404)])
    ingest([DAY], settings=with_limits(settings, max_unknown_videos=0.5))
    run = check_days([DAY], settings)
    [failed] = run.blocking
    assert (run.source, failed.name, failed.failing_rows) == ("lake", "watches.known_videos", 1)
    staged = read_runs(settings)[0]
    assert {result.name for result in staged.results} == {result.name for result in run.results}


def test_old_results_are_dropped(settings: Settings) -> None:
    land_day(settings, watches_of(DAY, 5))
    limits = with_limits(settings, kept_runs=2)
    ingest([DAY], settings=limits)
    for _ in range(2):
        check_days([DAY], limits)
    assert [run.source for run in read_runs(settings)] == ["lake", "lake"]
