"""Whatever is sent, nothing is lost, nothing wrong gets in, and the user reads what to do."""

import pytest

from features.settings import Settings
from tests.features.malformed import KINDS, PAGE, Kind, what_happens


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_broken_input_is_met_as_the_page_says(kind: Kind, settings: Settings) -> None:
    outcome, told = what_happens(kind, settings)
    assert outcome == kind.outcome, told
    assert kind.told in told


def test_the_page_lists_every_kind() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert lines[1:] == [f"| {kind.name} | {kind.outcome} | {kind.told} |" for kind in KINDS], (
        "run `python -m tests.features.malformed` and put its table into the page"
    )
