"""The page of validation over the days."""

import re

import pytest

from features.errors import InvalidDataError
from features.ingest import ingest
from features.settings import Settings
from features.validation.page import write_page
from tests.features.landing_rows import DAY, land_day, watch


def test_an_empty_home_has_a_page(settings: Settings) -> None:
    text = write_page(settings).read_text()
    assert text.count("<p>none</p>") == 3


def test_a_refused_day_is_on_the_page(settings: Settings) -> None:
    land_day(settings, [watch("a", hour=23), b"oops"])
    with pytest.raises(InvalidDataError, match="quarantine"):
        ingest([DAY], settings=settings)
    text = write_page(settings).read_text()
    assert "<!-- watches: not JSON -->" in text
    assert f"<td>FAIL</td><td>{DAY}</td><td>watches.quarantined</td>" in text


def test_the_page_shows_rows_rules_and_failures_and_loads_nothing(settings: Settings) -> None:
    good = [watch(f"g{i}", hour=23) for i in range(20)]
    land_day(settings, [*good, watch("stranger", user_id=99), watch("<b>", user_id=98), b"oops"])
    ingest([DAY], settings=settings)
    path = write_page(settings)
    text = path.read_text()
    assert path == settings.reports / "validation" / "index.html"
    assert text.count("<svg") == 3
    for shown in (f"<!-- {DAY} -->", "<!-- watches: not JSON -->", "<!-- WARN -->"):
        assert shown in text, f"a plot lacks {shown}"
    assert f"<td>WARN</td><td>{DAY}</td><td>watches.known_users</td><td>2 of 22 rows fail</td>" in text
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", text)
