"""Affinities of users to tags and uploaders, with weights that halve every seven days."""

from typing import Any

import pytest

from features.aggregates.affinities import UNIT, weights
from features.aggregates.store import Aggregates
from features.days import add_days
from features.schema import TAG_ID, UPLOADER_ID
from features.settings import Settings
from tests.features.aggregates.logs import video, watch, write_videos, write_watches

TODAY = "2026-03-31"


@pytest.fixture
def home(settings: Settings) -> Settings:
    """Tag 5 is on videos 1 and 2 (uploaders 7, 8), tag 6 on video 3 (uploader 8)."""
    week_ago, month_ago = add_days(TODAY, -7), add_days(TODAY, -30)
    rows = [
        watch(1, 1, 1, day=TODAY, long_watch=True),
        watch(1, 3, 2, day=TODAY, long_watch=False),
        watch(1, 2, 1, day=week_ago, long_watch=True),
        watch(1, 3, 2, day=week_ago),
        watch(2, 3, 1, day=TODAY, long_watch=True),
        watch(2, 1, 1, day=month_ago, long_watch=True),
    ]
    write_watches(settings, rows)
    write_videos(settings, [video(1, 5), video(2, 5, uploader_id=8), video(3, 6, uploader_id=8)])
    return settings


def found(home: Settings, entity: str, **more: int) -> dict[tuple[int, int], dict[str, Any]]:
    rows = Aggregates(home).affinities(entity, TODAY, **more).to_pylist()
    return {(row["user_id"], row[entity]): row for row in rows}


def test_weights_are_whole_numbers_that_halve_with_the_half_life() -> None:
    assert weights(7.0)[:15:7] == [UNIT, UNIT / 2, UNIT / 4]
    assert len(weights(7.0)) == 30


def test_old_positives_count_less_and_all_lean_to_the_shares_of_everybody(home: Settings) -> None:
    rows = found(home, TAG_ID)
    assert set(rows) == {(1, 5), (1, 6), (2, 6)}, "a watch of 30 days ago is over"
    # Weighted positives: user 1 has 1 + 1/2 on tag 5; user 2 has 1 on tag 6; in all 1.5 and 1 of 2.5.
    assert rows[1, 5]["share"] == pytest.approx((1.5 + 10 * 1.5 / 2.5) / (1.5 + 10))
    assert rows[1, 6]["share"] == pytest.approx((0 + 10 * 1 / 2.5) / (1.5 + 10))
    assert rows[2, 6]["share"] == pytest.approx((1 + 10 * 1 / 2.5) / (1 + 10))
    assert [rows[key]["plays"] for key in ((1, 5), (1, 6), (2, 6))] == [2, 2, 1]
    # Known: 1.5 on tag 5 and 1 + 1 on tag 6, whose play of a week ago says nothing; 2.5 positive of 3.5.
    assert rows[1, 5]["long_watch_rate"] == pytest.approx((1.5 + 10 * 2.5 / 3.5) / (1.5 + 10))
    assert rows[1, 6]["long_watch_rate"] == pytest.approx((0 + 10 * 2.5 / 3.5) / (1 + 10))


def test_uploaders_are_those_of_the_videos(home: Settings) -> None:
    rows = found(home, UPLOADER_ID)
    assert {key: row["plays"] for key, row in rows.items()} == {(1, 7): 1, (1, 8): 3, (2, 8): 1}
    assert rows[1, 7]["share"] == pytest.approx((1 + 10 * 1 / 2.5) / (1.5 + 10))


def test_only_the_strongest_are_kept_on_demand(home: Settings) -> None:
    assert set(found(home, TAG_ID, top=1)) == {(1, 5), (2, 6)}


def test_by_default_only_users_with_a_new_watch_are_computed_and_the_prior_is_everybodys(
    home: Settings,
) -> None:
    week_ago = add_days(TODAY, -7)
    write_watches(
        home,
        [watch(3, 3, 1, day=week_ago, long_watch=True), watch(3, 3, 1, day=TODAY, landed="2026-04-02")],
    )
    everyone = Aggregates(home).affinities(TAG_ID, TODAY, everyone=True).to_pylist()
    assert {row["user_id"] for row in everyone} == {3}
    assert Aggregates(home).affinities(TAG_ID, TODAY).num_rows == 0, "today's only watch had not landed"
    later = Aggregates(home).affinities(TAG_ID, "2026-04-02").to_pylist()
    assert [(row["user_id"], row["plays"]) for row in later] == [(3, 2)]
