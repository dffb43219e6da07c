"""What users do on one simulated day: which videos the app shows them, and how they take them.

A watch comes about in one of three ways: *personal* (by a planted interest: a topic, mostly one of its
favourite tags, then a video by today's popularity), *popular* (by popularity alone) or *explore* (any video).
Noise turns personal watches into popular ones and makes the outcome blind to interests.

A long watch is ``watch_seconds >= min(0.8 * duration, 18)``, close to KuaiRand's ``long_view``.

Shapes: N watches, V videos.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from features.sources.interests import Interests
from features.sources.simulation import SimulationConfig
from features.sources.topics import TAGS_PER_TOPIC
from features.sources.world import DAY_MICROS, MICROS, Users, Videos

CHANNELS: Final = ("personal", "popular", "explore")
PERSONAL, POPULAR, EXPLORE = range(3)
SCENES: Final = ("feed", "discover", "nearby")
PAGE_SIZE: Final = 8
"""Videos per request of the app; a request's watches follow each other."""
DRAWS: Final = 4
"""Tries to find a video that the user has not seen; then the slot stays empty."""
LONG_WATCH_SHARE: Final = 0.8
LONG_WATCH_SECONDS: Final = 18
BLIND_AFFINITY: Final = 0.5
"""Affinity of a watch whose outcome ignores interests: about the mean over the log."""


class GroupedSampler:
    """Draws entries by weight within groups, for many groups at once."""

    def __init__(
        self, groups: Int[np.ndarray, " E"], entries: Int[np.ndarray, " E"], num_groups: int
    ) -> None:
        order = np.argsort(groups, kind="stable")
        self._entries = entries[order]
        self._bounds = np.searchsorted(groups[order], np.arange(num_groups + 1))
        self._totals = np.zeros(1)

    def set_weights(self, weights: Float[np.ndarray, " V"]) -> None:
        """Weights by entry value; an entry of weight 0 is never drawn."""
        self._totals = np.concatenate([[0.0], np.cumsum(weights[self._entries])])

    def draw(self, groups: Int[np.ndarray, " N"], rng: np.random.Generator) -> Int[np.ndarray, " N"]:
        """One entry per element of ``groups``; -1 where a group has nothing to give."""
        low, high = self._totals[self._bounds[groups]], self._totals[self._bounds[groups + 1]]
        points = low + rng.random(groups.size) * (high - low)
        rows = np.searchsorted(self._totals, points, side="right") - 1
        rows = np.minimum(rows, self._bounds[groups + 1] - 1)
        return np.where(high > low, self._entries[np.maximum(rows, 0)], -1)


@dataclass(frozen=True)
class Watches:
    """Watches of one day, sorted by time; columns of equal length."""

    users: Int[np.ndarray, " N"]
    videos: Int[np.ndarray, " N"]
    times: Int[np.ndarray, " N"]
    seconds: Float[np.ndarray, " N"]
    long_watch: Bool[np.ndarray, " N"]
    flags: Bool[np.ndarray, "N 5"]
    """In the order of schema.FLAGS."""
    scenes: Int[np.ndarray, " N"]
    channels: Int[np.ndarray, " N"]
    requests: Int[np.ndarray, " N"]
    """Number of the request within the day."""


class App:
    """The app as it stands: everything that exists, today's popularity and what everyone has seen."""

    def __init__(self, config: SimulationConfig, videos: Videos, users: Users, interests: Interests) -> None:
        self._config, self._videos, self._users, self._interests = config, videos, users, interests
        rows = np.arange(config.num_videos)
        own = [videos.tags[:, column] for column in range(3)]
        pairs = [(tags[tags >= 0], rows[tags >= 0]) for tags in own]
        self._by_tag = GroupedSampler(
            np.concatenate([tags for tags, _ in pairs]),
            np.concatenate([tagged for _, tagged in pairs]),
            config.num_topics * TAGS_PER_TOPIC,
        )
        self._by_topic = GroupedSampler(videos.topics, rows, config.num_topics)
        self._popular = GroupedSampler(np.zeros_like(rows), rows, 1)
        self._any = GroupedSampler(np.zeros_like(rows), rows, 1)
        self._surges_until = np.zeros(config.num_videos)
        self._topic_surges_until = np.zeros(config.num_topics)
        self._seen = np.empty(0, dtype=np.int64)
        """Sorted keys user * num_videos + video."""

    def live(self, midnight: int, rng: np.random.Generator) -> Watches:
        """Everything that happens in the day that starts at ``midnight`` (microseconds)."""
        self._set_popularity(midnight, rng)
        appetite = self._users.activity * rng.gamma(2, 0.5, self._users.activity.size)
        appetite[self._users.registered >= midnight + DAY_MICROS] = 0
        users = np.repeat(np.arange(appetite.size), rng.poisson(appetite))
        pages = _pages(users)
        videos, channels = self._choose(users, pages, rng)
        shown = videos >= 0
        users, videos, channels = users[shown], videos[shown], channels[shown]
        requests = np.unique(pages[shown], return_inverse=True)[1]
        seconds, flags = self._outcome(users, videos, rng)
        durations = self._videos.seconds[videos]
        times = self._schedule(users, requests, seconds, midnight, rng)
        order = np.lexsort((users, times))
        watches = Watches(
            users=users,
            videos=videos,
            times=times,
            seconds=seconds,
            long_watch=seconds >= np.minimum(LONG_WATCH_SHARE * durations, LONG_WATCH_SECONDS),
            flags=flags,
            scenes=rng.choice(len(SCENES), users.size, p=[0.75, 0.2, 0.05]),
            channels=channels,
            requests=requests,
        )
        return Watches(**{name: column[order] for name, column in vars(watches).items()})

    def _set_popularity(self, midnight: int, rng: np.random.Generator) -> None:
        """Today's weights: Zipf appeal, halved every 10 days down to .3, times surges of a day or two."""
        age = (midnight - self._videos.published) / DAY_MICROS
        for until, share in ((self._surges_until, 0.01), (self._topic_surges_until, 0.03)):
            begins = rng.random(until.size) < share
            until[begins] = midnight + rng.integers(1, 3, begins.sum()) * DAY_MICROS
        online = (age >= 0) & (self._videos.withdrawn > midnight + DAY_MICROS)
        weights = online * self._videos.appeal * (0.3 + 0.7 * 0.5 ** (np.maximum(age, 0) / 10))
        weights = np.where(self._surges_until > midnight, 5 * weights, weights)
        topical = np.where(self._topic_surges_until > midnight, 2.5, 1.0)[self._videos.topics]
        self._by_tag.set_weights(weights)
        self._by_topic.set_weights(weights)
        self._popular.set_weights(weights * topical)
        self._any.set_weights(online.astype(float))

    def _choose(
        self, users: Int[np.ndarray, " N"], pages: Int[np.ndarray, " N"], rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
        """Videos and channels of what is shown; video -1 where nothing new was left to show."""
        popular, explore = self._config.popular_share, self._config.explore_share
        mix = [1 - popular - explore, popular, explore]
        channels = rng.choice(len(CHANNELS), users.size, p=np.asarray(mix) / sum(mix))
        noisy = rng.random(users.size) < self._config.noise
        channels[(channels == PERSONAL) & noisy] = POPULAR
        slots = self._interests.draw_slots(users, rng)
        in_mood = rng.random(users.size) < self._config.mood_share
        slots = np.where(in_mood, slots[np.searchsorted(pages, pages)], slots)
        videos = np.full(users.size, -1)
        pending = np.arange(users.size)
        for _ in range(DRAWS):
            found = self._draw(users[pending], slots[pending], channels[pending], rng)
            fresh = self._accept(users[pending], found, rng)
            videos[pending[fresh]] = found[fresh]
            pending = pending[~fresh]
        return videos, channels

    def _draw(
        self,
        users: Int[np.ndarray, " N"],
        slots: Int[np.ndarray, " N"],
        channels: Int[np.ndarray, " N"],
        rng: np.random.Generator,
    ) -> Int[np.ndarray, " N"]:
        topics, tags = self._interests.draw_topics(users, slots, rng)
        everything = np.zeros_like(users)
        in_niche = rng.random(users.size) < self._config.niche_share
        personal = np.where(in_niche, self._by_tag.draw(tags, rng), self._by_topic.draw(topics, rng))
        shared = [self._popular.draw(everything, rng), self._any.draw(everything, rng)]
        return np.choose(channels, [personal, *shared])

    def _accept(
        self, users: Int[np.ndarray, " N"], videos: Int[np.ndarray, " N"], rng: np.random.Generator
    ) -> Bool[np.ndarray, " N"]:
        """Which of the draws are new to their user (or shown again on purpose); remembers them."""
        keys = users * np.int64(self._config.num_videos) + videos
        fresh = np.zeros(keys.size, dtype=bool)
        fresh[np.unique(keys, return_index=True)[1]] = True
        places = np.searchsorted(self._seen, keys)
        known = self._seen[np.minimum(places, self._seen.size - 1)] == keys if self._seen.size else ~fresh
        fresh &= videos >= 0
        added = np.sort(keys[fresh & ~known])
        self._seen = np.insert(self._seen, np.searchsorted(self._seen, added), added)
        return fresh & (~known | (rng.random(keys.size) < self._config.rewatch_share))

    def _outcome(
        self, users: Int[np.ndarray, " N"], videos: Int[np.ndarray, " N"], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, "N 5"]]:
        """Seconds watched, and liked, followed, shared, commented, disliked."""
        affinity = self._interests.affinity(users, self._videos.topics[videos], self._videos.tags[videos, 0])
        blind = rng.random(users.size) < self._config.noise
        affinity = np.where(blind, BLIND_AFFINITY, affinity)
        durations = self._videos.seconds[videos]
        skipped = rng.random(users.size) < 0.75 - 0.7 * affinity
        completion = rng.random(users.size) ** (1 / (0.4 + 2.6 * affinity))
        completion += rng.random(users.size) * (rng.random(users.size) < 0.12 * affinity)  # watched again
        seconds = np.where(
            skipped, np.minimum(0.3 + rng.exponential(1, users.size), durations), completion * durations
        )
        chances = np.column_stack([0.1 * affinity, 0.015 * affinity, 0.02 * affinity, 0.03 * affinity])
        actions = (rng.random(chances.shape) < chances) & ~skipped[:, None]
        disliked = skipped & (rng.random(users.size) < 0.04 * (1 - affinity))
        return seconds.round(2), np.column_stack([actions, disliked])

    def _schedule(
        self,
        users: Int[np.ndarray, " N"],
        pages: Int[np.ndarray, " N"],
        seconds: Float[np.ndarray, " N"],
        midnight: int,
        rng: np.random.Generator,
    ) -> Int[np.ndarray, " N"]:
        """Start times: the watches of a page one after the other, every page within the day."""
        starts_page = np.diff(pages, prepend=-1) != 0
        steps = ((seconds + rng.exponential(2, users.size)) * MICROS).astype(np.int64) + 1
        offsets = np.cumsum(steps) - steps
        offsets -= offsets[starts_page][pages]
        lengths = np.bincount(pages, weights=steps).astype(np.int64)
        # Evenings are busiest: the larger of two uniform draws for two pages in three.
        moments = rng.random((2, lengths.size))
        moment = np.where(rng.random(lengths.size) < 2 / 3, moments.max(axis=0), moments[0])
        earliest = np.maximum(self._users.registered[users[starts_page]] - midnight, 0)
        room = np.maximum(DAY_MICROS - earliest - lengths, 0)
        return midnight + (earliest + moment * room).astype(np.int64)[pages] + offsets


def _pages(users: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Number of the page of each watch, for sorted ``users``: eight of one user to a page."""
    places = np.arange(users.size)
    starts_user = np.diff(users, prepend=-1) != 0
    position = places - np.maximum.accumulate(np.where(starts_user, places, 0))
    return np.cumsum(position % PAGE_SIZE == 0) - 1
