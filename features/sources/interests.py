"""The planted interests: which topics a user cares for, how much, and how that drifts.

An interest is a topic with two favourite tags. When one is being replaced, the share of the new topic grows
by equal steps over ``drift_days``; the truth names the new topic from the day its share passes one half.

Shapes: U users, S = 8 interest slots (weight 0 where a user has fewer), F = 2 favourite tags.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from features.sources.simulation import SimulationConfig
from features.sources.topics import TAGS_PER_TOPIC
from features.sources.world import Users

MAX_INTERESTS: Final = 8
NUM_FAVOURITES: Final = 2
NO_TOPIC: Final = -1


@dataclass
class Interests:
    """Current interests of all users; ``drift`` moves them on by one day."""

    topics: Int[np.ndarray, "U S"]
    favourites: Int[np.ndarray, "U S F"]
    weights: Float[np.ndarray, "U S"]
    next_topics: Int[np.ndarray, "U S"]
    """Topic that is taking over the slot, or NO_TOPIC."""
    next_favourites: Int[np.ndarray, "U S F"]
    progress: Float[np.ndarray, "U S"]
    """Share of the next topic within its slot, 0..1."""

    @property
    def num_interests(self) -> Int[np.ndarray, " U"]:
        """Interests of each user, 1..8."""
        return (self.weights > 0).sum(axis=1)

    def draw_slots(self, users: Int[np.ndarray, " N"], rng: np.random.Generator) -> Int[np.ndarray, " N"]:
        """One of the interests of each entry of ``users``, by weight."""
        bounds = np.cumsum(self.weights[users], axis=1)
        slots = (rng.random((users.size, 1)) * bounds[:, -1:] >= bounds).sum(axis=1)
        return np.asarray(np.minimum(slots, self.num_interests[users] - 1))

    def draw_topics(
        self, users: Int[np.ndarray, " N"], slots: Int[np.ndarray, " N"], rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """The topic of each slot (old or next, by progress), and one of the favourite tags in it."""
        is_next = rng.random(users.size) < self.progress[users, slots]
        favourite = rng.integers(0, NUM_FAVOURITES, users.size)
        topics = np.where(is_next, self.next_topics[users, slots], self.topics[users, slots])
        tags = np.where(
            is_next, self.next_favourites[users, slots, favourite], self.favourites[users, slots, favourite]
        )
        return topics, tags

    def affinity(
        self, users: Int[np.ndarray, " N"], topics: Int[np.ndarray, " N"], niches: Int[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """How much a user cares for a video: .95 favourite tag, .65 own topic, .1 anything else."""
        mine = (self.topics[users] == topics[:, None]) & (self.weights[users] > 0)
        mine |= (self.next_topics[users] == topics[:, None]) & (self.progress[users] > 0)
        liked = (self.favourites[users] == niches[:, None, None]).any(axis=2) & (self.weights[users] > 0)
        liked |= (self.next_favourites[users] == niches[:, None, None]).any(axis=2) & (
            self.progress[users] > 0
        )
        return np.where(liked.any(axis=1), 0.95, np.where(mine.any(axis=1), 0.65, 0.1))

    def drift(self, config: SimulationConfig, rng: np.random.Generator) -> Bool[np.ndarray, " U"]:
        """Move on by one day; true for users whose dominant topics changed."""
        self._begin(config, rng)
        moving = self.next_topics != NO_TOPIC
        before = self.progress > 0.5
        self.progress[moving] += 1 / config.drift_days
        passed = (self.progress > 0.5) & ~before
        done = self.progress > 1 - 1e-9
        self.topics[done] = self.next_topics[done]
        self.favourites[done] = self.next_favourites[done]
        self.next_topics[done] = NO_TOPIC
        self.next_favourites[done] = NO_TOPIC
        self.progress[done] = 0
        return np.asarray(passed.any(axis=1))

    def dominant_topics(self) -> Int[np.ndarray, "U S"]:
        """The topic with the larger share of each slot; NO_TOPIC where a user has fewer interests."""
        topics = np.where(self.progress > 0.5, self.next_topics, self.topics)
        return np.where(self.weights > 0, topics, NO_TOPIC)

    def dominant_favourites(self) -> Int[np.ndarray, "U S F"]:
        """Favourite tags within ``dominant_topics``."""
        return np.where(self.progress[:, :, None] > 0.5, self.next_favourites, self.favourites)

    def _begin(self, config: SimulationConfig, rng: np.random.Generator) -> None:
        """Choose users without a replacement under way; one slot of each begins to change."""
        idle = (self.next_topics == NO_TOPIC).all(axis=1)
        users = np.flatnonzero(idle & (rng.random(idle.size) < config.drift_per_day))
        slots = rng.integers(0, self.num_interests[users])
        topics = rng.integers(0, config.num_topics, users.size)
        is_new = (self.topics[users] != topics[:, None]).all(axis=1)
        users, slots, topics = users[is_new], slots[is_new], topics[is_new]
        self.next_topics[users, slots] = topics
        self.next_favourites[users, slots] = _favourites(topics, rng)


def plant_interests(config: SimulationConfig, users: Users, rng: np.random.Generator) -> Interests:
    """One to eight interests per user in equal parts; weights by Dirichlet(4), topics by age band."""
    most = min(MAX_INTERESTS, config.num_topics)
    counts = rng.permutation(config.num_users) % most + 1
    held = np.arange(MAX_INTERESTS) < counts[:, None]
    # Gumbel keys: the largest ones are a draw without replacement by weight.
    keys = np.log(users.taste[users.age_bands]) + rng.gumbel(size=(config.num_users, config.num_topics))
    topics = np.zeros((config.num_users, MAX_INTERESTS), dtype=np.int64)
    topics[:, :most] = np.argsort(-keys, axis=1)[:, :most]
    weights = rng.gamma(4, size=held.shape) * held
    favourites = _favourites(topics, rng)
    return Interests(
        topics=topics,
        favourites=favourites,
        weights=weights / weights.sum(axis=1, keepdims=True),
        next_topics=np.full_like(topics, NO_TOPIC),
        next_favourites=np.full_like(favourites, NO_TOPIC),
        progress=np.zeros(held.shape),
    )


def _favourites(topics: Int[np.ndarray, "*N"], rng: np.random.Generator) -> Int[np.ndarray, "*N 2"]:
    """Two different tags of each topic."""
    first = rng.integers(0, TAGS_PER_TOPIC, topics.shape)
    second = (first + rng.integers(1, TAGS_PER_TOPIC, topics.shape)) % TAGS_PER_TOPIC
    return topics[..., None] * TAGS_PER_TOPIC + np.stack([first, second], axis=-1)
