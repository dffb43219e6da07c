"""Replays name the refused rows that they stand for."""

import json

import fsspec
import pytest

from features.errors import BadInputError
from features.landing import Landing
from features.replays import is_replay, reference, replay_lines, replay_name
from features.settings import Settings
from tests.features.landing_rows import DAY

PLACE = reference("watches/2026-03-02/a.jsonl", 3, "oops")


def test_a_line_holds_the_row_and_its_reference() -> None:
    row = {"event_id": "a", "extra": '{"score": 3}'}
    line = json.loads(replay_lines([(row, PLACE)]))
    assert line == {"event_id": "a", "score": 3, "replaces": PLACE}
    with pytest.raises(BadInputError, match="must be a JSON object"):
        replay_lines([({"extra": "[1]"}, PLACE)])


def test_the_name_depends_on_the_rows_not_on_their_order() -> None:
    rows = [({"event_id": "a"}, PLACE), ({"event_id": "b"}, PLACE)]
    names = {replay_name("watches", DAY, replay_lines(order)) for order in (rows, rows[::-1])}
    assert len(names) == 1
    [name] = names
    assert is_replay(name)
    assert not is_replay("watches/zz-replay-day/a.jsonl")


def test_a_replay_goes_into_a_store_and_out_again(settings: Settings) -> None:
    remote = settings.model_copy(update={"landing_uri": "memory://bucket/landing"})
    name = replay_name("watches", DAY, b"{}\n")
    Landing(remote).write(name, b"{}\n")
    store = fsspec.filesystem("memory")
    assert store.cat_file(f"/bucket/landing/{name}") == b"{}\n"
    Landing(remote).remove(name)
    assert not store.exists(f"/bucket/landing/{name}")
