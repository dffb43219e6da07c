"""Exposures and watches of two arms, counted by hand."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from tests.training.logs import at, video, watch, write_log
from training.ab import ab_report


def exposure(arm: str | None, user_id: int, request_id: str, video_id: int, day: float = 0.5) -> dict:
    row = {"request_id": request_id, "user_id": user_id, "video_id": video_id, "event_time": at(day)}
    return row | {"rank": 0, "channel": "interests", "interest": 0, "release": "r", "arm": arm}


VIDEOS = [video(1, 10), video(2, 10, 11), video(3, 12)]
EXPOSURES = [
    exposure("a", 1, "r1", 1),
    exposure("a", 1, "r1", 2),
    exposure("a", 1, "r2", 3),
    exposure("a", 2, "r3", 1),
    exposure("b", 3, "r4", 2),
    exposure("b", 3, "r4", 3),
    exposure("b", 4, "r5", 3),
    exposure("a", 9, "r6", 1),
    exposure("b", 9, "r7", 1),  # a user of both arms counts in none
    exposure(None, 8, "r8", 1),  # no experiment
    exposure("a", 1, "r0", 1, day=3.0),  # after the span
]
WATCHES = [
    watch(1, 1, 0.6, request_id="r1", liked=True),
    watch(1, 2, 0.6, long_watch=False, request_id="r1"),
    watch(1, 1, 1.2),  # nobody says what showed it
    watch(2, 1, 1.4, request_id="r3"),  # the day after
    watch(3, 2, 0.7, request_id="r4"),
    watch(3, 2, 0.8, long_watch=False, request_id="r4", disliked=True),  # again: what was done adds up
    watch(9, 1, 0.7, request_id="r6"),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    write_log(settings, WATCHES, VIDEOS, exposures=EXPOSURES)
    return settings


def test_figures_are_ratios_of_sums_over_the_users_of_an_arm(settings: Settings) -> None:
    found = ab_report(at(0), at(2), settings=settings)
    control, other = found.arms
    assert (control.name, control.num_users, control.num_answers, control.num_exposures) == ("a", 2, 3, 4)
    assert {name: estimate.value for name, estimate in control.figures.items()} == {
        "click_rate": 3 / 4,
        "long_view_rate": 2 / 4,
        "like_rate": 1 / 4,
        "dislike_rate": 0.0,
        "long_views": 2 / 2,
        "tags_shown": (2 + 1 + 1) / 3,
        "tags_watched": (1 + 1) / 2,
    }
    assert (other.name, other.num_users, other.num_answers, other.num_exposures) == ("b", 2, 2, 3)
    assert {name: estimate.value for name, estimate in other.figures.items()} == {
        "click_rate": 1 / 3,
        "long_view_rate": 1 / 3,
        "like_rate": 0.0,
        "dislike_rate": 1 / 3,
        "long_views": 1 / 2,
        "tags_shown": (3 + 1) / 2,
        "tags_watched": 2 / 2,
    }
    assert control.against is None
    assert other.against is not None
    assert other.against["click_rate"].value == pytest.approx((1 / 3) / (3 / 4) - 1)
    assert found.num_mixed_users == 1


def test_the_control_comes_first(settings: Settings) -> None:
    assert [arm.name for arm in ab_report(at(0), at(2), settings=settings, control="b").arms] == ["b", "a"]
    with pytest.raises(BadInputError, match="no exposures of arm 'c'; there are a, b"):
        ab_report(at(0), at(2), settings=settings, control="c")


def test_without_exposures_there_is_nothing_to_compare(settings: Settings) -> None:
    with pytest.raises(BadInputError, match="no exposures of an arm"):
        ab_report(at(5), at(6), settings=settings)


def test_the_interval_has_the_width_of_the_spread_between_users(tmp_path: Path) -> None:
    """400 users with one exposure each, half of them played: standard error of the rate sqrt(.25 / 400)."""
    settings = Settings(home=tmp_path)
    exposures = [exposure("a", user, f"r{user}", 1) for user in range(400)]
    watches = [watch(user, 1, 0.6, request_id=f"r{user}") for user in range(0, 400, 2)]
    write_log(settings, watches, VIDEOS, exposures=exposures)
    (arm,) = ab_report(at(0), at(1), settings=settings).arms
    rate = arm.figures["click_rate"]
    assert rate.value == 0.5
    assert rate.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.005)
    assert rate.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.005)
