"""Refused rows are looked at, repaired and given back; every row stays counted once."""

import json
from pathlib import Path
from typing import Any

import pytest

from features.config import ValidationConfig
from features.errors import BadInputError, InvalidDataError
from features.ingest import ingest
from features.lake import Lake
from features.quarantine import Refused, Replayed, RuleCount, export_rows, refused_rows, replay, rule_counts
from features.schema import EVENT_ID, VIDEOS, WATCHES
from features.settings import Settings
from features.stage import Counts
from tests.features.landing_rows import DAY, land, land_day, watch

GOOD = [watch(f"g{i}", hour=23) for i in range(20)]
BAD = [watch("negative", hour=23, watch_seconds=-1), watch("odd", hour=23, liked="perhaps"), b"oops"]
FILE = f"{WATCHES}/{DAY}/a.jsonl"


def counts_of(settings: Settings) -> Counts:
    staged = ingest([DAY], settings=settings)
    [found] = [count for count in staged.counts if count.table == WATCHES]
    return found


def figures(count: Counts) -> tuple[int, int, int, int]:
    return count.read, count.kept, count.duplicate, count.quarantined


def event_ids(settings: Settings) -> set[str]:
    return set(Lake(settings).read_days(WATCHES, [DAY])[EVENT_ID].to_pylist())


def export(settings: Settings, **changes: dict[str, Any]) -> Path:
    """Export and, by event id, change the columns of rows."""
    path = settings.root / "repaired.jsonl"
    export_rows(WATCHES, DAY, path, settings)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["row"] |= changes.get(row["row"].get(EVENT_ID, "unreadable"), {})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def dirty(settings: Settings) -> Settings:
    land_day(settings, [*GOOD, *BAD])
    ingest([DAY], settings=settings)
    return settings


def test_counts_come_by_table_day_and_rule(dirty: Settings) -> None:
    assert rule_counts(dirty) == [
        RuleCount(WATCHES, DAY, "liked is not true or false", 1),
        RuleCount(WATCHES, DAY, "not JSON", 1),
        RuleCount(WATCHES, DAY, "watch_seconds is negative", 1),
    ]
    assert rule_counts(dirty, VIDEOS) == []


def test_rows_are_shown_with_their_place_and_reason(dirty: Settings) -> None:
    assert refused_rows(WATCHES, DAY, dirty, rule="JSON") == [Refused(FILE, 23, "not JSON", "oops")]
    assert [row.line for row in refused_rows(WATCHES, DAY, dirty, limit=2)] == [21, 22]
    with pytest.raises(BadInputError, match="no quarantine of watches 2026-01-01"):
        refused_rows(WATCHES, "2026-01-01", dirty)


def test_an_export_holds_the_columns_that_could_be_read(dirty: Settings) -> None:
    path = export(dirty)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["row"] for row in rows] == [BAD[0], BAD[1], {}]
    assert rows[2] == {"file": FILE, "line": 23, "rule": "not JSON", "raw": "oops", "row": {}}


def test_a_csv_row_is_exported_by_column(settings: Settings) -> None:
    land_day(settings, GOOD)
    header = b"event_id,user_id,video_id,event_time,watch_seconds"
    bad = f"c,1,7,{DAY}T01:00:00Z,-4".encode()
    land(settings, WATCHES, [header, bad], name="b.csv")
    ingest([DAY], settings=settings)
    [row] = [json.loads(line) for line in export(settings).read_text().splitlines()]
    assert row["row"] == {
        "event_id": "c",
        "user_id": "1",
        "video_id": "7",
        "event_time": f"{DAY}T01:00:00Z",
        "watch_seconds": "-4",
    }
    assert replay(WATCHES, DAY, export(settings, c={"watch_seconds": 4}), settings).still_refused == 0
    assert "c" in event_ids(settings)


def test_repaired_rows_are_kept_and_counted_once(dirty: Settings) -> None:
    assert figures(counts_of(dirty)) == (23, 20, 0, 3)
    done = replay(WATCHES, DAY, export(dirty, negative={"watch_seconds": 1.0}), dirty)
    assert (done.repaired, done.still_refused) == (1, 2)
    assert done.file is not None
    assert done.file.startswith(f"{WATCHES}/{DAY}/zz-replay-")
    assert "negative" in event_ids(dirty)
    assert figures(counts_of(dirty)) == (23, 21, 0, 2), "ingesting the day again gives the same"
    assert [row.rule for row in refused_rows(WATCHES, DAY, dirty)] == [
        "liked is not true or false",
        "not JSON",
    ]


def test_a_row_that_could_not_be_read_is_written_anew(dirty: Settings) -> None:
    path = export(dirty, unreadable=watch("new", hour=5))
    assert replay(WATCHES, DAY, path, dirty).still_refused == 2
    assert "new" in event_ids(dirty)
    assert figures(counts_of(dirty)) == (23, 21, 0, 2)


def test_the_same_replay_twice_changes_nothing(dirty: Settings) -> None:
    path = export(dirty, negative={"watch_seconds": 1.0})
    first = replay(WATCHES, DAY, path, dirty)
    checksum = Lake(dirty).checksum(WATCHES, DAY)
    assert replay(WATCHES, DAY, path, dirty) == first
    assert Lake(dirty).checksum(WATCHES, DAY) == checksum
    assert figures(counts_of(dirty)) == (23, 21, 0, 2)


def test_rows_left_as_they_were_stay_where_they_are(dirty: Settings) -> None:
    assert replay(WATCHES, DAY, export(dirty), dirty) == Replayed(None, 0, 3)
    assert [row.file for row in refused_rows(WATCHES, DAY, dirty)] == [FILE] * 3


def test_a_bad_repair_is_refused_again_and_can_be_repaired(dirty: Settings) -> None:
    first = replay(WATCHES, DAY, export(dirty, odd={"liked": "surely"}), dirty)
    assert first.still_refused == 3
    assert [row.file for row in refused_rows(WATCHES, DAY, dirty)] == [FILE, FILE, first.file]
    assert replay(WATCHES, DAY, export(dirty, odd={"liked": True}), dirty).still_refused == 2
    assert "odd" in event_ids(dirty)
    assert figures(counts_of(dirty)) == (23, 21, 0, 2)


def test_a_repair_onto_an_existing_row_is_a_duplicate_not_a_loss(dirty: Settings) -> None:
    replay(WATCHES, DAY, export(dirty, negative={"event_id": "g3", "watch_seconds": 1.0}), dirty)
    assert figures(counts_of(dirty)) == (23, 20, 1, 2)
    rows = Lake(dirty).read_days(WATCHES, [DAY]).to_pylist()
    assert [row["watch_seconds"] for row in rows if row[EVENT_ID] == "g3"] == [5.0], (
        "what was right at once wins"
    )


def test_a_mended_source_file_wins_over_an_older_replay(dirty: Settings) -> None:
    replay(WATCHES, DAY, export(dirty, negative={"watch_seconds": 1.0}), dirty)
    land(dirty, WATCHES, [*GOOD, watch("negative", hour=23, watch_seconds=2.0), *BAD[1:]])
    assert figures(counts_of(dirty)) == (24, 21, 1, 2), "the replay's row is read and a duplicate"
    land(dirty, WATCHES, [*GOOD, watch("another", hour=23, watch_seconds=-2), *BAD[1:]])
    assert figures(counts_of(dirty)) == (24, 21, 0, 3), "another bad row at the same place is not replaced"


def test_a_row_that_is_not_refused_any_more_is_not_replaced_twice(dirty: Settings) -> None:
    path = export(dirty, negative={"watch_seconds": 1.0})
    replay(WATCHES, DAY, path, dirty)
    path.write_text(path.read_text().replace('"watch_seconds": 1.0', '"watch_seconds": 3.0'))
    with pytest.raises(BadInputError, match=r"a\.jsonl:21 is not in the quarantine of watches"):
        replay(WATCHES, DAY, path, dirty)


def test_a_replay_that_turns_the_day_red_leaves_landing_as_it_was(dirty: Settings) -> None:
    strict = dirty.model_copy(update={"validation": ValidationConfig(max_unknown_videos=0.0)})
    before = sorted(path.name for path in (dirty.landing / WATCHES / DAY).iterdir())
    path = export(dirty, negative={"watch_seconds": 1.0, "video_id": 404})
    with pytest.raises(InvalidDataError, match="known_videos"):
        replay(WATCHES, DAY, path, strict)
    assert sorted(p.name for p in (dirty.landing / WATCHES / DAY).iterdir()) == before
    assert figures(counts_of(dirty)) == (23, 20, 0, 3)


def test_a_day_whose_landing_files_are_gone_is_not_replayed(dirty: Settings) -> None:
    path = export(dirty, negative={"watch_seconds": 1.0})
    (dirty.landing / FILE).unlink()
    with pytest.raises(BadInputError, match=r"a\.jsonl left the landing area"):
        replay(WATCHES, DAY, path, dirty)
    assert Lake(dirty).day_counts(WATCHES) == {DAY: 20}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "repaired.jsonl:1 is not JSON"),
        ('{"event_id": "a"}', "repaired.jsonl:1 needs file, line, raw and row"),
        ('{"file": "f", "line": 1, "raw": "", "row": 3}', "row must be a JSON object"),
    ],
)
def test_a_line_that_is_no_export_is_named(dirty: Settings, line: str, message: str) -> None:
    path = dirty.root / "repaired.jsonl"
    path.write_text(line)
    with pytest.raises(BadInputError, match=message):
        replay(WATCHES, DAY, path, dirty)
