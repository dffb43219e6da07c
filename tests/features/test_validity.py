"""Snapshots of three days as rows with the days from when to when they held."""

import pyarrow as pa
import pytest

from features.errors import BadInputError
from features.lake import Lake, connect, curated_schema
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.validity import validity

DAYS = ("2026-03-01", "2026-03-02", "2026-03-04")


def write(settings: Settings, *snapshots: dict[int, str]) -> Lake:
    """One snapshot of users per day: id to segment."""
    lake = Lake(settings)
    for day, users in zip(DAYS, snapshots, strict=True):
        rows = [
            {"user_id": user, "segment": segment, "landing_day": day, "snapshot_day": day}
            for user, segment in users.items()
        ]
        names = curated_schema(USERS).names
        columns = {name: [row.get(name) for row in rows] for name in names}
        lake.write_day(USERS, day, pa.table(columns, schema=curated_schema(USERS)))
    return lake


def spans(lake: Lake, until: str | None = None) -> list[tuple]:
    rows = validity(connect(), lake, USERS, until)
    return rows.project("user_id, segment, valid_from, valid_to").fetchall()


def test_a_row_holds_until_it_differs_or_is_absent(settings: Settings) -> None:
    lake = write(
        settings, {1: "young", 2: "old", 3: "old"}, {1: "young", 2: "young"}, {1: "young", 2: "young"}
    )
    assert spans(lake) == [
        (1, "young", "2026-03-01", None),
        (2, "old", "2026-03-01", "2026-03-02"),
        (2, "young", "2026-03-02", None),
        (3, "old", "2026-03-01", "2026-03-02"),
    ]


def test_a_row_that_comes_back_begins_anew(settings: Settings) -> None:
    lake = write(settings, {1: "young", 2: "old"}, {1: "old"}, {1: "young", 2: "old"})
    assert spans(lake) == [
        (1, "young", "2026-03-01", "2026-03-02"),
        (1, "old", "2026-03-02", "2026-03-04"),
        (1, "young", "2026-03-04", None),
        (2, "old", "2026-03-01", "2026-03-02"),
        (2, "old", "2026-03-04", None),
    ]


def test_later_snapshots_are_not_looked_at(settings: Settings) -> None:
    lake = write(settings, {1: "young"}, {1: "old"}, {1: "young"})
    assert spans(lake, until="2026-03-02")[-1] == (1, "old", "2026-03-02", None)


def test_only_snapshots_have_a_validity(settings: Settings) -> None:
    with pytest.raises(BadInputError, match="watches is no table of snapshots"):
        validity(connect(), Lake(settings), WATCHES)
    assert validity(connect(), Lake(settings), VIDEOS).fetchall() == []
