"""Drawing by weight within groups, and what the app does on a day."""

import numpy as np
import pytest

from features.sources.behaviour import App, GroupedSampler, Watches
from features.sources.interests import plant_interests
from features.sources.simulation import SimulationConfig
from features.sources.world import DAY_MICROS, Users, Videos, build_users, build_videos, epoch_micros

CONFIG = SimulationConfig(num_users=300, num_videos=800, num_uploaders=90, num_days=3, new_users_per_day=0.04)


def test_entries_are_drawn_by_weight_within_their_group() -> None:
    sampler = GroupedSampler(np.array([1, 0, 1]), np.array([10, 11, 12]), num_groups=3)
    weights = np.zeros(13)
    weights[[10, 11, 12]] = [1, 5, 3]
    sampler.set_weights(weights)
    drawn = sampler.draw(np.repeat([0, 1, 2], 4000), np.random.default_rng(0))
    assert set(drawn[:4000].tolist()) == {11}
    # Group 1 holds entries 10 and 12 with weights 1 and 3.
    assert abs((drawn[4000:8000] == 12).mean() - 0.75) < 0.03
    assert set(drawn[4000:8000].tolist()) == {10, 12}
    assert set(drawn[8000:].tolist()) == {-1}, "an empty group has nothing to give"


def test_an_entry_without_weight_is_never_drawn() -> None:
    sampler = GroupedSampler(np.zeros(3, dtype=int), np.arange(3), num_groups=1)
    sampler.set_weights(np.array([0.0, 1.0, 0.0]))
    assert set(sampler.draw(np.zeros(1000, dtype=int), np.random.default_rng(0)).tolist()) == {1}


@pytest.fixture(scope="module")
def days() -> tuple[Videos, Users, list[Watches]]:
    videos = build_videos(CONFIG, np.random.default_rng(1))
    users = build_users(CONFIG, np.random.default_rng(2))
    app = App(CONFIG, videos, users, plant_interests(CONFIG, users, np.random.default_rng(3)))
    rng = np.random.default_rng(4)
    return videos, users, [app.live(epoch_micros(day), rng) for day in CONFIG.days]


def test_every_watch_lies_within_its_day_and_in_order(days: tuple[Videos, Users, list[Watches]]) -> None:
    for day, watches in zip(CONFIG.days, days[2], strict=True):
        midnight = epoch_micros(day)
        assert watches.times.min() >= midnight
        assert watches.times.max() < midnight + DAY_MICROS
        assert (np.diff(watches.times) >= 0).all()


def test_nobody_watches_before_registering_or_a_video_that_is_not_online(
    days: tuple[Videos, Users, list[Watches]],
) -> None:
    videos, users, all_watches = days
    for watches in all_watches:
        assert (watches.times >= users.registered[watches.users]).all()
        assert (watches.times >= videos.published[watches.videos]).all()
        assert (watches.times < videos.withdrawn[watches.videos]).all()


def test_few_watches_repeat_a_video_that_the_user_has_seen(days: tuple[Videos, Users, list[Watches]]) -> None:
    pairs = np.concatenate([w.users * CONFIG.num_videos + w.videos for w in days[2]])
    assert 1 - np.unique(pairs).size / pairs.size < CONFIG.rewatch_share


def test_long_watches_follow_the_stated_rule(days: tuple[Videos, Users, list[Watches]]) -> None:
    videos, _, (watches, *_) = days
    needed = np.minimum(0.8 * videos.seconds[watches.videos], 18)
    assert watches.long_watch.tolist() == (watches.seconds >= needed).tolist()
    assert 0.2 < watches.long_watch.mean() < 0.5


def test_the_busiest_tenth_of_users_makes_more_than_a_fifth_of_the_watches(
    days: tuple[Videos, Users, list[Watches]],
) -> None:
    counts = np.sort(np.bincount(np.concatenate([watches.users for watches in days[2]]), minlength=300))
    assert counts[-30:].sum() > 0.2 * counts.sum()


def test_a_request_belongs_to_one_user_and_has_at_most_eight_watches(
    days: tuple[Videos, Users, list[Watches]],
) -> None:
    watches = days[2][0]
    assert np.bincount(watches.requests).max() <= 8
    assert (
        np.unique(watches.requests).size
        == np.unique(np.column_stack([watches.requests, watches.users]), axis=0).shape[0]
    )
