"""Who and what exists in the simulated app: topics, tags, uploaders, videos, users.

Ids are row numbers: users by time of registration, videos by time of publication. Times are microseconds
since the epoch, UTC. A video's first tag is its niche, a tag of its own topic; a foreign (noisy) tag never
counts for anybody's choice.

Shapes: U users, V videos, A age bands, T topics.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from features.days import start_of
from features.sources.simulation import SimulationConfig
from features.sources.topics import TAGS_PER_TOPIC

MICROS: Final = 1_000_000
DAY_MICROS: Final = 86_400 * MICROS
NO_TAG: Final = -1
MAX_TAGS: Final = 4
AGE_BANDS: Final = ("13-17", "18-24", "25-34", "35-44", "45-54", "55+")
GENDERS: Final = ("f", "m", "x")
REGIONS: Final = ("north", "south", "east", "west", "centre")
LANGUAGES: Final = ("en", "es", "hi", "pt")
DEVICES: Final = ("android", "ios", "tablet")


@dataclass(frozen=True)
class Videos:
    """All videos ever published, by row."""

    uploaders: Int[np.ndarray, " V"]
    topics: Int[np.ndarray, " V"]
    tags: Int[np.ndarray, "V 4"]
    """Tag ids, niche first, NO_TAG where there are fewer."""
    seconds: Float[np.ndarray, " V"]
    published: Int[np.ndarray, " V"]
    withdrawn: Int[np.ndarray, " V"]
    """Moment from which the video is offline; far away for most."""
    appeal: Float[np.ndarray, " V"]
    """Zipf weight, before age and trends."""
    languages: Int[np.ndarray, " V"]


@dataclass(frozen=True)
class Users:
    """All users, by row."""

    registered: Int[np.ndarray, " U"]
    age_bands: Int[np.ndarray, " U"]
    genders: Int[np.ndarray, " U"]
    regions: Int[np.ndarray, " U"]
    devices: Int[np.ndarray, " U"]
    activity: Float[np.ndarray, " U"]
    """Mean watches a day."""
    taste: Float[np.ndarray, "A T"]
    """Chance of each topic by age band: the weak link between profile and interests."""


def build_videos(config: SimulationConfig, rng: np.random.Generator) -> Videos:
    """Videos of uploaders who keep to one topic (sometimes two) and to one niche half of the time."""
    v, first = config.num_videos, epoch_micros(config.days[0])
    main = rng.permutation(config.num_uploaders) % config.num_topics
    second = np.where(
        rng.random(config.num_uploaders) < 0.3, rng.integers(0, config.num_topics, main.size), main
    )
    niche = rng.integers(0, TAGS_PER_TOPIC, main.size)
    uploaders = rng.choice(main.size, v, p=_zipf(main.size, 0.5, rng))
    topics = np.where(rng.random(v) < 0.8, main[uploaders], second[uploaders])
    niches = np.where(rng.random(v) < 0.5, niche[uploaders], rng.integers(0, TAGS_PER_TOPIC, v))
    weights = _zipf(v, config.zipf_exponent, rng)
    withdrawn = first + rng.exponential(1 / max(config.offline_per_day, 1e-9), v) * DAY_MICROS
    return Videos(
        uploaders=uploaders,
        topics=topics,
        tags=_draw_tags(topics, niches, config, rng),
        seconds=np.clip(rng.lognormal(np.log(24), 0.7, v), 5, 180).round(1),
        published=_arrivals(v, config.new_videos_per_day, 90, config, rng),
        withdrawn=np.minimum(withdrawn, 2.0**62).astype(np.int64),
        appeal=weights / weights.mean(),
        languages=rng.choice(len(LANGUAGES), v, p=[0.7, 0.12, 0.1, 0.08]),
    )


def build_users(config: SimulationConfig, rng: np.random.Generator) -> Users:
    """Users with a heavy-tailed activity and a static profile."""
    u = config.num_users
    taste = rng.lognormal(0, 0.5, (len(AGE_BANDS), config.num_topics))
    activity = rng.lognormal(0, config.activity_sigma, u)
    return Users(
        registered=_arrivals(u, config.new_users_per_day, 700, config, rng),
        age_bands=rng.choice(len(AGE_BANDS), u, p=[0.1, 0.25, 0.25, 0.2, 0.12, 0.08]),
        genders=rng.choice(len(GENDERS), u, p=[0.49, 0.49, 0.02]),
        regions=rng.integers(0, len(REGIONS), u),
        devices=rng.choice(len(DEVICES), u, p=[0.65, 0.3, 0.05]),
        activity=config.mean_watches * activity / activity.mean(),
        taste=taste / taste.sum(axis=1, keepdims=True),
    )


def epoch_micros(day: str) -> int:
    """Midnight UTC at the start of ``day``, microseconds since the epoch."""
    return int(start_of(day).timestamp()) * MICROS


def _arrivals(
    total: int, share: float, past_days: int, config: SimulationConfig, rng: np.random.Generator
) -> Int[np.ndarray, " N"]:
    """Sorted moments: ``share`` of the total on every simulated day, the rest in the days before."""
    first, last_hours = epoch_micros(config.days[0]), 20 / 24  # a newcomer still has an evening to watch
    per_day = round(total * share)
    old = first - rng.random(total - per_day * config.num_days) * past_days * DAY_MICROS
    days = np.repeat(np.arange(config.num_days), per_day)
    new = first + (days + rng.random(days.size) * last_hours) * DAY_MICROS
    return np.sort(np.concatenate([old, new]).astype(np.int64))


def _draw_tags(
    topics: Int[np.ndarray, " V"],
    niches: Int[np.ndarray, " V"],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> Int[np.ndarray, "V 4"]:
    """One to three different tags of the own topic, and a foreign one for a share of the videos."""
    steps = rng.permuted(np.tile(np.arange(1, TAGS_PER_TOPIC), (topics.size, 1)), axis=1)[:, :2]
    others = (niches[:, None] + steps) % TAGS_PER_TOPIC
    own = topics[:, None] * TAGS_PER_TOPIC + np.column_stack([niches, others])  # (V, 3)
    own[np.arange(3) >= rng.choice([1, 2, 3], topics.size, p=[0.5, 0.35, 0.15])[:, None]] = NO_TAG
    shift = rng.integers(1, config.num_topics, topics.size)
    foreign = (topics + shift) % config.num_topics * TAGS_PER_TOPIC + rng.integers(
        0, TAGS_PER_TOPIC, topics.size
    )
    foreign[rng.random(topics.size) >= config.tag_noise] = NO_TAG
    return np.column_stack([own, foreign])


def _zipf(size: int, exponent: float, rng: np.random.Generator) -> Float[np.ndarray, " N"]:
    weights = (rng.permutation(size) + 1.0) ** -exponent
    return weights / weights.sum()
