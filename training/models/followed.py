"""Followed: recent and popular videos of uploaders that a user follows.

A watch on which the user pressed follow speaks for the recent videos of the same uploader,

    W[i, j] = (1 + plays of j) / (1 + plays of the uploader's most played) * 0.5 ** (age of j / half-life);

other watches say nothing. Only follows in the history count: the newest watches, see ``features/history.py``.

Shape letters: C recent videos.
"""

from typing import Final, Literal

import numpy as np
import structlog
from jaxtyping import Float, Int64
from pydantic import PositiveFloat, PositiveInt

from features.schema import UPLOADER_ID
from training.config import ModelConfig
from training.kin import Curated, pairs_table, trained_kin
from training.models import Run, Trained

log = structlog.get_logger(__name__)
SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")


class FollowedConfig(ModelConfig):
    """Which videos of an uploader are shown to who follows."""

    recent_days: PositiveFloat = 30.0
    """Oldest age, since the video was published, else since a snapshot first listed it."""
    half_life_days: PositiveFloat = 7.0
    """Age at which a video is worth half."""
    num_neighbours: PositiveInt = 20
    """Videos of one uploader."""
    plain_weight: Literal[0] = 0
    """Weight in a history of a watch without a follow."""
    counts: Literal["followed"] = "followed"
    """The action that makes a watch count, see ``features/neighbours.py``."""


Config = FollowedConfig


def train(config: FollowedConfig, run: Run) -> Trained:
    """Recent videos before ``run.until``, by uploader."""
    curated = Curated.read(config, run)
    recent = np.flatnonzero((curated.age_days <= config.recent_days) & curated.is_online)
    log.info("recent videos", videos=len(recent), of=len(curated.ids))
    _, uploaders = np.unique(curated.videos[UPLOADER_ID].to_numpy(), return_inverse=True)
    worth = worth_of(curated, recent, uploaders[recent], config)
    order = np.lexsort((-worth, uploaders[recent]))
    recent, worth = recent[order], worth[order]
    starts, ends = (np.searchsorted(uploaders[recent], np.arange(len(curated.ids)), side) for side in SIDES)
    ends = np.minimum(ends, starts + config.num_neighbours)
    watched = curated.watched()
    sizes = (ends - starts)[uploaders[watched]]
    within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
    sources, places = np.repeat(watched, sizes), np.repeat(starts[uploaders[watched]], sizes) + within
    other = sources != recent[places]  # no video suggests itself
    pairs = pairs_table(curated, sources[other], recent[places[other]], worth[places[other]])
    return trained_kin(curated, recent[np.argsort(-worth, kind="stable")], pairs)


def worth_of(
    curated: Curated,
    recent: Int64[np.ndarray, " C"],
    uploaders: Int64[np.ndarray, " C"],
    config: FollowedConfig,
) -> Float[np.ndarray, " C"]:
    """Of each recent video among those of its uploader: 0 to 1."""
    plays = 1 + curated.plays[recent]
    most = np.ones(int(uploaders.max(initial=-1)) + 1)
    np.maximum.at(most, uploaders, plays)
    ages = np.maximum(curated.age_days[recent], 0)
    return plays / most[uploaders] * 0.5 ** (ages / config.half_life_days)
