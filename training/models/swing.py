"""Swing: two videos are near when pairs of users who share little else watched both.

Yang et al., Large Scale Product Graph Construction for Recommendation in E-commerce, arXiv 2010.05525,
section 3: users u and v and video i form a swing, and the fewer other swings the two users hang on, the more
each says.

    W[i, j] = sum over pairs {u, v} of  w_u w_v / (alpha + |I_u & I_v|) * x_ui x_vi y_uj y_vj
    w_u = |I_u| ** -.5

I_u are the videos that u watched, x and y the weights of the watches as reasons and as targets. What is kept
is W[i, j] / (W[i, i] W[j, j]) ** norm: .5 is a cosine, and without it popular videos are near to everything.
Departures: in the paper x and y are 0 or 1, and there is no norm: ``norm=0 plain_weight=0
plain_target_weight=0``.

The work is the sum of |I_u & I_v| ** 2 over all pairs of users. Memory is a strip of W, and the watches of
one user's videos.

Shape letters: U users, V videos of the vocabulary, N watches, k videos of a user, b of them wanted, n watches
of these by later users, B rows of a strip; a 1 behind a letter: one more.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float32, Float64, Int64
from pydantic import PositiveFloat

from training.config import Share
from training.dataset import WatchLog
from training.item_graph import Feedback, NeighboursConfig, neighbours_table, trained_neighbours
from training.models import Run, Trained

WEIGHTS_PER_STRIP: Final = 1 << 26
"""A quarter of a gigabyte of W at a time; every strip walks over all users again."""


class SwingConfig(NeighboursConfig):
    """What Swing is told."""

    alpha: PositiveFloat = 1.0
    """Added to the number of videos that two users share; large: every pair of users says the same."""
    norm: Share = 0.5
    """Exponent of the norms: 0 the sums of the paper, .5 cosine."""


Config = SwingConfig


def train(config: SwingConfig, run: Run) -> Trained:
    """Add up the swings of all pairs of users before ``run.until``."""
    log = WatchLog(run.lake, run.until, config.rule)
    feedback = Feedback.read(log, config, run.until)
    swings = Swings.of(feedback, config.alpha)
    factors = norm_factors(swings, config.norm)
    table = neighbours_table(
        lambda rows: swings.weights(rows) * factors[rows, None] * factors,
        feedback.vocabulary,
        feedback.trend,
        config.num_neighbours,
        rows_per_block=max(WEIGHTS_PER_STRIP // swings.num_videos, 1),
    )
    return trained_neighbours(log, feedback, table)


def norm_factors(swings: "Swings", norm: float) -> Float32[np.ndarray, " V"]:
    """W[i, i] ** -norm; 0 for a video that no two users watched."""
    if norm == 0:
        return np.ones(swings.num_videos, dtype=np.float32)
    own = swings.diagonal()
    return np.where(own > 0, np.maximum(own, np.finfo(float).tiny) ** -norm, 0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Swings:
    """The watches twice: by user, and by video with the users of a video ascending."""

    alpha: float
    user_weights: Float64[np.ndarray, " U"]
    bounds_of_user: Int64[np.ndarray, " U1"]
    videos: Int64[np.ndarray, " N"]
    """By user."""
    places: Int64[np.ndarray, " N"]
    """Of the same watch in the order by video."""
    bounds_of_video: Int64[np.ndarray, " V1"]
    users: Int64[np.ndarray, " N"]
    """By video."""
    reasons: Float32[np.ndarray, " N"]
    """x by video."""
    targets: Float32[np.ndarray, " N"]
    """y by video."""

    @classmethod
    def of(cls, feedback: Feedback, alpha: float) -> "Swings":
        """A video belongs to a user if its watch weighs anything, as reason or as target."""
        watched = scipy.sparse.csr_array(feedback.history + feedback.targets)
        watched.sort_indices()
        users = np.repeat(np.arange(watched.shape[0]), np.diff(watched.indptr))
        videos = watched.indices.astype(np.int64)
        order = np.argsort(videos, kind="stable")  # of one video, users stay ascending
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        by_video = users[order], videos[order]
        sizes = np.diff(watched.indptr)
        return cls(
            alpha=alpha,
            user_weights=1 / np.sqrt(np.maximum(sizes, 1)),
            bounds_of_user=watched.indptr.astype(np.int64),
            videos=videos,
            places=places,
            bounds_of_video=np.append(0, np.bincount(videos, minlength=watched.shape[1]).cumsum()),
            users=by_video[0],
            reasons=feedback.history[by_video].astype(np.float32),
            targets=feedback.targets[by_video].astype(np.float32),
        )

    @property
    def num_videos(self) -> int:
        """V"""
        return len(self.bounds_of_video) - 1

    def weights(self, rows: slice) -> Float32[np.ndarray, "B V"]:
        """Rows of W; the diagonal is not all there."""
        strip = np.zeros((rows.stop - rows.start, self.num_videos), dtype=np.float32)
        for user in range(len(self.user_weights)):
            pairs = self._pairs_of(user)
            wanted = (pairs.videos >= rows.start) & (pairs.videos < rows.stop)
            if len(pairs.videos) > 1 and wanted.any():
                strip[np.ix_(pairs.videos[wanted] - rows.start, pairs.videos)] += pairs.product(wanted)
        return strip

    def diagonal(self) -> Float64[np.ndarray, " V"]:
        """W[i, i] of every video."""
        total = np.zeros(self.num_videos)
        for user in range(len(self.user_weights)):
            pairs = self._pairs_of(user)
            total[pairs.videos] += pairs.own_products()
        return total

    def _pairs_of(self, user: int) -> "_Pairs":
        """``user`` and every later user, at the user's videos."""
        mine = slice(self.bounds_of_user[user], self.bounds_of_user[user + 1])
        videos, places = self.videos[mine], self.places[mine]
        sizes = self.bounds_of_video[videos + 1] - places - 1  # watches of the same video by later users
        ends = sizes.cumsum()
        later = np.arange(sizes.sum()) + np.repeat(places + 1 - ends + sizes, sizes)
        others = self.users[later]
        shared = np.bincount(others, minlength=len(self.user_weights))
        says = self.user_weights[user] * self.user_weights / (self.alpha + shared)
        return _Pairs(
            videos=videos,
            bounds=np.append(0, ends),
            others=others,
            reasons=self.reasons[later] * np.repeat(self.reasons[places], sizes),
            targets=self.targets[later] * np.repeat(self.targets[places], sizes) * says[others],
            num_users=len(self.user_weights),
        )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """One user against others; what belongs to video i of the user is ``[bounds[i], bounds[i + 1])``."""

    videos: Int64[np.ndarray, " k"]
    bounds: Int64[np.ndarray, " k1"]
    others: Int64[np.ndarray, " n"]
    reasons: Float32[np.ndarray, " n"]
    """x of both."""
    targets: Float64[np.ndarray, " n"]
    """y of both, times what the pair says."""
    num_users: int

    def product(self, wanted: Bool[np.ndarray, " k"]) -> Float64[np.ndarray, "b k"]:
        """What the pairs add to W."""
        left, right = (
            scipy.sparse.csc_array((part, self.others, self.bounds), (self.num_users, len(self.videos)))
            for part in (self.reasons, self.targets)
        )
        return (left[:, np.flatnonzero(wanted)].T @ right.tocsr()).toarray()

    def own_products(self) -> Float64[np.ndarray, " k"]:
        """What they add to the diagonal."""
        until = np.append(0.0, (self.reasons * self.targets).cumsum())
        return np.diff(until[self.bounds])
