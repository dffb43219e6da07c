"""A red day stops before anybody sees it, and says why."""

from pathlib import Path

import pytest

from features.config import ValidationConfig
from features.errors import InvalidDataError
from features.ingest import ingest
from features.lake import Lake
from features.schema import VIDEOS, WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY, land, land_day, video, watch

DAYS = ["2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05"]


def refuse(settings: Settings, day: str = DAY) -> str:
    """Ingest a day that must be refused; returns the error's text."""
    visible = Lake(settings).day_counts(WATCHES)
    with pytest.raises(InvalidDataError) as refused:
        ingest([day], settings=settings)
    assert Lake(settings).day_counts(WATCHES) == visible, "a refused day must stay invisible"
    return str(refused.value)


def watches_of(day: str, count: int) -> list[dict[str, object]]:
    return [watch(f"{day}-{i}", hour=23 - i % 24, day=day) for i in range(count)]


def test_unknown_videos_stop_the_day_with_example_rows(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAY, 10), watch("stranger", video_id=404)])
    text = refuse(settings)
    assert "video_is_known" in text
    assert "1 of 11 rows fail" in text
    assert "'event_id': 'stranger'" in text
    assert "'video_id': '404'" in text


def test_data_docs_are_written_and_linked(settings: Settings) -> None:
    land_day(settings, [watch("stranger", video_id=404)])
    text = refuse(settings)
    link = next(word for word in text.split() if word.startswith("file://"))
    page = Path(link.removeprefix("file://"))
    assert page.is_file()
    assert any("video_is_known" in path.read_text() for path in page.parent.rglob("*.html"))


def test_a_day_that_ends_too_early_is_refused(settings: Settings) -> None:
    land_day(settings, [watch("a", hour=11)])
    assert "expect_column_max_to_be_between(column=event_time" in refuse(settings)


def test_row_counts_are_judged_against_the_days_before(settings: Settings) -> None:
    for day in DAYS[:3]:
        land_day(settings, watches_of(day, 100), day=day)
        ingest([day], settings=settings)
    land_day(settings, watches_of(DAYS[3], 19), day=DAYS[3])
    assert "expect_table_row_count_to_be_between(min_value=20, max_value=500): observed 19" in refuse(
        settings, DAYS[3]
    )
    land_day(settings, watches_of(DAYS[3], 501), day=DAYS[3])
    assert "observed 501" in refuse(settings, DAYS[3])
    land_day(settings, watches_of(DAYS[3], 20), day=DAYS[3])
    ingest([DAYS[3]], settings=settings)


def test_the_days_of_one_call_are_judged_against_each_other(settings: Settings) -> None:
    for day, count in zip(DAYS, (100, 100, 100, 5), strict=True):
        land_day(settings, watches_of(day, count), day=day)
    with pytest.raises(InvalidDataError, match=f"watches {DAYS[3]}: expect_table_row_count"):
        ingest(DAYS, settings=settings)


def test_few_late_events_do_not_make_their_old_day_red(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAYS[1], 50), watch("late", hour=1, day=DAYS[0])], day=DAYS[1])
    ingest([DAYS[1]], settings=settings)
    assert Lake(settings).day_counts(WATCHES) == {DAYS[0]: 1, DAYS[1]: 50}


def test_too_much_dirt_is_a_broken_producer(settings: Settings) -> None:
    land_day(settings, [*watches_of(DAY, 7), *([b"oops"] * 3)])
    assert "3 of 10 rows: {'not JSON': 3}" in refuse(settings)


def test_limits_can_be_loosened(settings: Settings) -> None:
    loose = settings.model_copy(update={"validation": ValidationConfig(max_unknown_videos=1.0)})
    land_day(settings, [watch("stranger", video_id=404)])
    ingest([DAY], settings=loose)


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_VALIDATION__MAX_UNKNOWN_VIDEOS", "0.5")
    assert Settings().validation.max_unknown_videos == 0.5


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
