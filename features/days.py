"""Days and moments as people write them on the command line. Everything is UTC; a day is ``YYYY-MM-DD``."""

from datetime import UTC, date, datetime, timedelta

from features.errors import BadInputError

ONE_DAY = timedelta(days=1)


def start_of(day: str) -> datetime:
    """Midnight UTC at the start of ``day``."""
    return datetime.combine(_as_date(day), datetime.min.time(), tzinfo=UTC)


def end_of(day: str) -> datetime:
    """Midnight UTC at the end of ``day``: the first moment that is no longer in it."""
    return start_of(day) + ONE_DAY


def day_of(moment: datetime) -> str:
    """The UTC day that ``moment`` falls on."""
    return moment.astimezone(UTC).date().isoformat()


def add_days(day: str, num_days: int) -> str:
    """The day ``num_days`` after (or, if negative, before) ``day``."""
    return (_as_date(day) + timedelta(days=num_days)).isoformat()


def parse_moment(text: str) -> datetime:
    """A bare day means its end in UTC; a time must carry an offset. Events before the result count."""
    return end_of(text) if _is_day(text) else _parse_time(text)


def parse_span(text: str) -> tuple[datetime, datetime]:
    """``A..B`` as [start, end): whole days A to B, or a half-open interval of two times."""
    first, last = _split(text)
    start = start_of(first) if _is_day(first) else _parse_time(first)
    end = parse_moment(last)
    if start >= end:
        raise BadInputError(f"{text!r} is empty: the end must lie after the start")
    return start, end


def parse_days(text: str) -> list[str]:
    """``A`` or ``A..B`` as the sorted list of UTC days, both ends included."""
    first, last = _split(text)
    num_days = (_as_date(last) - _as_date(first)).days + 1
    if num_days < 1:
        raise BadInputError(f"{text!r} is empty: the last day lies before the first")
    return [add_days(first, i) for i in range(num_days)]


def _split(text: str) -> tuple[str, str]:
    first, dots, last = text.partition("..")
    return first, (last if dots else first)


def _is_day(text: str) -> bool:
    return len(text) == len("2026-01-31")


def _as_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"{text!r} is not a day; write YYYY-MM-DD") from error


def _parse_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"{text!r} is neither a day (YYYY-MM-DD) nor an ISO 8601 time") from error
    if moment.tzinfo is None:
        raise BadInputError(f"{text!r} has no UTC offset; write for example {text}+00:00")
    return moment.astimezone(UTC)
