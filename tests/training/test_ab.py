"""Exposures and watches of two arms, counted by hand."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from features.errors import BadInputError
from features.experiment import EXPERIMENTS, Arm, Experiment
from features.release import open_registry
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


def ran(settings: Settings, name: str, started_at: float, ended_at: float | None = None) -> None:
    """An experiment with arms a and b from day to day, as the registry holds it."""
    trial = Experiment(name=name, arms=(Arm(name="a", share=0.5), Arm(name="b", share=0.5)))
    ended = None if ended_at is None else at(ended_at)
    row = {"name": name, "definition": trial.model_dump(mode="json"), "started_at": at(started_at)}
    with open_registry(settings).begin() as connection:
        connection.execute(sa.insert(EXPERIMENTS), row | {"ended_at": ended})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    ran(settings, "x", 0)
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
    with pytest.raises(BadInputError, match="no exposures of an arm of x between 2026-03-06T00:00"):
        ab_report(at(5), at(6), settings=settings)


def test_a_report_is_of_one_experiment_from_its_start_to_its_end(tmp_path: Path) -> None:
    """Three experiments with the same arms: two on one day, and one that runs."""
    settings = Settings(home=tmp_path)
    ran(settings, "first", 0.25, 0.5)
    ran(settings, "second", 0.625, 1.5)
    ran(settings, "third", 2.0)
    shown = [
        (0.125, "a", 1),  # of nobody
        (0.25, "a", 2),
        (0.5, "b", 3),  # a process that had not heard of the end
        (0.75, "b", 2),  # another arm than in the first
        (1.0, "a", 4),
        (1.25, "c", 5),  # of no arm of the second
        (2.5, "a", 6),
    ]
    exposures = [exposure(arm, user, f"r{day}", 1, day) for day, arm, user in shown]
    write_log(settings, WATCHES, VIDEOS, exposures=exposures)

    def users(first: float, last: float, name: str | None = None) -> dict[str, int]:
        found = ab_report(at(first), at(last), settings=settings, name=name)
        return {found.experiment: 0} | {arm.name: arm.num_users for arm in found.arms}

    assert users(0, 3) == {"third": 0, "a": 1}
    assert users(0, 2) == {"second": 0, "a": 1, "b": 1}
    assert users(0, 3, "second") == {"second": 0, "a": 1, "b": 1}
    assert users(0, 3, "first") == {"first": 0, "a": 1}
    found = ab_report(at(0), at(1), settings=settings, name="second")
    assert (found.start, found.end) == (at(0.625), at(1))
    with pytest.raises(BadInputError, match="there is no experiment fourth; there are third, second, first"):
        users(0, 3, "fourth")
    with pytest.raises(
        BadInputError, match=r"first from 2026-03-01 06:00:00 to 2026-03-01 12:00:00\); choose"
    ):
        users(1, 3, "first")
    with pytest.raises(BadInputError, match="no experiment ran between 2026-03-01T00:00"):
        users(0, 0.25)


def test_the_interval_has_the_width_of_the_spread_between_users(tmp_path: Path) -> None:
    """400 users with one exposure each, half of them played: standard error of the rate sqrt(.25 / 400)."""
    settings = Settings(home=tmp_path)
    ran(settings, "x", 0)
    exposures = [exposure("a", user, f"r{user}", 1) for user in range(400)]
    watches = [watch(user, 1, 0.6, request_id=f"r{user}") for user in range(0, 400, 2)]
    write_log(settings, watches, VIDEOS, exposures=exposures)
    (arm,) = ab_report(at(0), at(1), settings=settings).arms
    rate = arm.figures["click_rate"]
    assert rate.value == 0.5
    assert rate.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.005)
    assert rate.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.005)
