from datetime import UTC, datetime

import pytest

from features.days import add_days, day_of, end_of, parse_days, parse_moment, parse_span, start_of
from features.errors import BadInputError


def utc(day: int, hour: int = 0) -> datetime:
    return datetime(2022, 4, day, hour, tzinfo=UTC)


def test_a_day_is_half_open_in_utc() -> None:
    assert (start_of("2022-04-25"), end_of("2022-04-25")) == (utc(25), utc(26))
    assert (day_of(utc(25)), day_of(utc(25, 23))) == ("2022-04-25", "2022-04-25")


def test_until_a_day_means_its_end_and_a_time_keeps_its_offset() -> None:
    assert parse_moment("2022-04-24") == utc(25)
    assert parse_moment("2022-04-25T00:00+08:00") == utc(24, 16)


def test_a_span_of_days_includes_both_and_a_span_of_times_is_half_open() -> None:
    assert parse_span("2022-04-25..2022-04-26") == (utc(25), utc(27))
    assert parse_span("2022-04-25T00:00+08:00..2022-04-27T00:00+08:00") == (utc(24, 16), utc(26, 16))


def test_days_are_listed_across_months() -> None:
    assert parse_days("2022-04-30..2022-05-01") == ["2022-04-30", "2022-05-01"]
    assert parse_days("2022-04-30") == ["2022-04-30"]
    assert add_days("2022-05-01", -1) == "2022-04-30"


@pytest.mark.parametrize("text", ["", "today", "2022-02-30", "2022-04-02..2022-04-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_days(text)


@pytest.mark.parametrize("text", ["2022-04-25T00:00", "noon", "2022-04-25T99:00Z"])
def test_a_time_without_offset_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        parse_moment(text)


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(BadInputError, match="is empty"):
        parse_span("2022-04-25T08:00+08:00..2022-04-25T00:00Z")
