"""Windows over days of stored sums; every number is derived from the few rows above it."""

import itertools
from typing import Any

import pytest

from features.aggregates.columns import WINDOWS, unique_of
from features.aggregates.config import AggregatesConfig
from features.aggregates.store import Aggregates
from features.days import add_days
from features.errors import BadInputError
from features.schema import TAG_ID, UPLOADER_ID, USER_ID, VIDEO_ID
from features.settings import Settings
from tests.features.aggregates.logs import (
    MONDAY,
    TUESDAY,
    random_videos,
    random_watches,
    video,
    watch,
    write_videos,
    write_watches,
)

TODAY = "2026-03-31"
AGES = {0: TODAY, 6: add_days(TODAY, -6), 7: add_days(TODAY, -7), 29: MONDAY, 30: add_days(MONDAY, -1)}


@pytest.fixture
def home(settings: Settings) -> Settings:
    """Video 10 on days of age 0, 6, 7, 29 and 30; user 1 on three of them, user 2 on the others."""
    rows = [
        watch(1, 10, 1, day=AGES[0], long_watch=True, liked=True),
        watch(1, 10, 2, day=AGES[0], long_watch=False),
        watch(1, 20, 3, day=AGES[0], long_watch=False, liked=False),
        watch(2, 10, 1, day=AGES[6], long_watch=True),
        watch(1, 10, 1, day=AGES[7], long_watch=None),
        watch(2, 10, 1, day=AGES[29], long_watch=True, watch_seconds=10.0),
        watch(3, 10, 1, day=AGES[30], long_watch=True, liked=True),
    ]
    write_watches(settings, rows)
    write_videos(settings, [video(10, 5, 6), video(20, 6)])
    return settings


def stats(home: Settings, entity: str, day: str = TODAY) -> dict[int, dict[str, Any]]:
    found = Aggregates(home).stats(entity, day).to_pylist()
    assert found == sorted(found, key=lambda row: row[entity])
    return {row[entity]: row for row in found}


def windows(row: dict[str, Any], name: str) -> list[Any]:
    return [row[f"{name}_{window}d"] for window in (1, 7, 30)]


def test_a_window_of_n_days_ends_with_the_day_and_holds_n_days(home: Settings) -> None:
    row = stats(home, VIDEO_ID)[10]
    assert windows(row, "plays") == [2, 3, 5]
    assert windows(row, "long_watches") == [1, 2, 3]
    assert windows(row, "likes") == [1, 1, 1], "the like of age 30 is over"


def test_a_user_counts_once_in_a_window_however_often_they_come_back(home: Settings) -> None:
    assert windows(stats(home, VIDEO_ID)[10], "unique_users") == [1, 2, 2]
    assert windows(stats(home, UPLOADER_ID)[7], "unique_users") == [1, 2, 2]
    tags = stats(home, TAG_ID)
    assert windows(tags[6], "plays") == [3, 4, 6]
    assert windows(tags[6], "unique_users") == [1, 2, 2]
    users = stats(home, USER_ID)
    assert windows(users[1], "unique_videos") == [2, 2, 2]
    assert windows(users[2], "unique_videos") == [0, 1, 1]
    assert 3 not in users


def test_a_rate_counts_known_flags_only_and_leans_to_the_rate_of_all(home: Settings) -> None:
    rows = stats(home, VIDEO_ID)
    # 30 days: video 10 has 3 long watches of 4 known, all have 3 of 5.
    assert rows[10]["long_watch_rate_30d"] == pytest.approx((3 + 20 * 3 / 5) / (4 + 20))
    # Likes: video 10 has 1 of 1 known, video 20 has 0 of 1; together 1 of 2.
    assert rows[10]["like_rate_1d"] == pytest.approx((1 + 20 * 1 / 2) / (1 + 20))
    assert rows[20]["like_rate_1d"] == pytest.approx((0 + 20 * 1 / 2) / (1 + 20))
    # One completion is known, 10 of 20 seconds, on the oldest day.
    assert rows[10]["completion_rate_30d"] == pytest.approx((0.5 + 20 * 0.5) / (1 + 20))
    assert rows[20]["completion_rate_30d"] == pytest.approx(0.5), "nothing known: the rate of all"
    assert rows[10]["completion_rate_7d"] is None, "nobody's completion is known in these days"
    assert windows(rows[10], "follow_rate") == [None, None, None]


def test_the_prior_is_a_setting_and_zero_means_raw_rates(home: Settings) -> None:
    raw = home.model_copy(update={"aggregates": AggregatesConfig(rate_prior=0)})
    row = stats(raw, VIDEO_ID)[10]
    assert row["long_watch_rate_30d"] == pytest.approx(3 / 4)


def test_a_trend_is_today_against_the_mean_day_of_a_week(home: Settings) -> None:
    rows = stats(home, VIDEO_ID)
    assert rows[10]["trend"] == pytest.approx((2 + 10) / (3 / 7 + 10))
    users = stats(home, USER_ID)
    assert users[2]["trend"] == pytest.approx((0 + 10) / (1 / 7 + 10))


def test_what_landed_later_is_not_in_an_earlier_window(settings: Settings) -> None:
    write_videos(settings, [video(10, 5)])
    late = watch(2, 10, 2, landed=TUESDAY, long_watch=True)
    write_watches(settings, [watch(1, 10, 1, long_watch=True), late, watch(1, 10, 1, day=TUESDAY)])
    monday, tuesday = (stats(settings, VIDEO_ID, day)[10] for day in (MONDAY, TUESDAY))
    assert (monday["plays_1d"], monday["unique_users_1d"]) == (1, 1)
    assert (tuesday["plays_1d"], tuesday["plays_7d"], tuesday["unique_users_7d"]) == (1, 3, 2)


@pytest.mark.parametrize("entity", [USER_ID, VIDEO_ID, UPLOADER_ID, TAG_ID])
def test_unique_counts_equal_a_direct_count_as_of_every_day_however_late_rows_land(
    settings: Settings, entity: str
) -> None:
    days = [add_days(MONDAY, age) for age in (0, 1, 2, 5, 9)]
    rows = [row for day in days for row in random_watches(day, 60)]
    write_watches(settings, rows)
    write_videos(settings, random_videos())
    uploader = {row["video_id"]: [row["uploader_id"]] for row in random_videos()}
    tags = {row["video_id"]: row["tag_ids"] for row in random_videos()}
    for as_of in days:
        direct: dict[tuple[int, int], set[int]] = {}
        for row in rows:
            video_id, user_id = row["video_id"], row["user_id"]
            keys = {USER_ID: [user_id], VIDEO_ID: [video_id]}.get(entity)
            keys = keys or (uploader if entity == UPLOADER_ID else tags).get(video_id, [])
            for key, window in itertools.product(keys, WINDOWS):
                in_window = add_days(as_of, -window) < row["event_day"] <= as_of
                if in_window and row["landing_day"] <= as_of:
                    found = direct.setdefault((key, window), set())
                    found.add(video_id if entity == USER_ID else user_id)
        for key, row in stats(settings, entity, as_of).items():
            ours = windows(row, unique_of(entity))
            assert ours == [len(direct.get((key, window), ())) for window in WINDOWS]


def test_a_day_far_from_all_watches_is_refused(home: Settings) -> None:
    with pytest.raises(BadInputError, match="no watches of 2027-"):
        Aggregates(home).stats(VIDEO_ID, "2027-06-01")
