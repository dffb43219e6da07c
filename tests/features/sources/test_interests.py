"""Planted interests: how many, how they are drawn, and how one replaces another."""

import numpy as np

from features.sources.interests import NO_TOPIC, Interests, plant_interests
from features.sources.simulation import SimulationConfig
from features.sources.topics import TAGS_PER_TOPIC
from features.sources.world import build_users


def _one_user(topics: list[int], weights: list[float]) -> Interests:
    """User 0; the favourite tags of topic t are its first two, 8 t and 8 t + 1."""
    held = np.array([topics + [0] * (8 - len(topics))])
    return Interests(
        topics=held,
        favourites=held[:, :, None] * TAGS_PER_TOPIC + np.array([0, 1]),
        weights=np.array([weights + [0.0] * (8 - len(weights))]),
        next_topics=np.full((1, 8), NO_TOPIC),
        next_favourites=np.full((1, 8, 2), NO_TOPIC),
        progress=np.zeros((1, 8)),
    )


def test_every_number_of_interests_from_one_to_eight_is_equally_common() -> None:
    config = SimulationConfig(num_users=800)
    users = build_users(config, np.random.default_rng(0))
    interests = plant_interests(config, users, np.random.default_rng(1))
    assert np.bincount(interests.num_interests).tolist() == [0] + [100] * 8
    np.testing.assert_allclose(interests.weights.sum(axis=1), 1)
    for user in range(20):
        held = interests.topics[user, : interests.num_interests[user]]
        assert len(set(held.tolist())) == held.size, "an interest must not be planted twice"


def test_topics_are_drawn_by_weight_and_tags_from_the_favourites() -> None:
    interests = _one_user([3, 5], [0.25, 0.75])
    user, rng = np.zeros(4000, dtype=int), np.random.default_rng(0)
    topics, tags = interests.draw_topics(user, interests.draw_slots(user, rng), rng)
    # Standard error of a share of .25 among 4000 is .007.
    assert abs((topics == 3).mean() - 0.25) < 0.03
    assert set(topics.tolist()) == {3, 5}
    assert set(tags.tolist()) == {24, 25, 40, 41}


def test_affinity_falls_from_favourite_tag_to_own_topic_to_anything_else() -> None:
    interests = _one_user([3], [1.0])
    user = np.zeros(4, dtype=int)
    # Topic 0 fills the empty slots of the user and must not count.
    affinity = interests.affinity(user, np.array([3, 3, 7, 0]), np.array([24, 31, 56, 0]))
    assert affinity.tolist() == [0.95, 0.65, 0.1, 0.1]


def test_a_replacement_counts_from_the_day_its_share_passes_one_half() -> None:
    interests = _one_user([3], [1.0])
    always = SimulationConfig(drift_per_day=1, drift_days=4)
    never = always.model_copy(update={"drift_per_day": 0})
    rng = np.random.default_rng(0)
    changed = [interests.drift(always, rng).tolist()]
    new_topic = int(interests.next_topics[0, 0])
    assert new_topic not in (3, NO_TOPIC)
    seen = [int(interests.dominant_topics()[0, 0])]
    for _ in range(3):
        changed.append(interests.drift(never, rng).tolist())
        seen.append(int(interests.dominant_topics()[0, 0]))
    # Shares after each day: 1/4, 2/4, 3/4, 4/4.
    assert seen == [3, 3, new_topic, new_topic]
    assert changed == [[False], [False], [True], [False]]
    assert interests.next_topics[0, 0] == NO_TOPIC, "the replacement is over"
