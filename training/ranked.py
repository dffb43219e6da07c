"""What a ranker reads and returns; one ranker per kind of bundle.

Shape letters: B users, K interests, V videos, N places of a list, M hits per interest, S videos seen by the
users.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64

from features.history import HISTORY_LENGTH
from features.merge import NO_VIDEO, Merged
from features.merge_config import NO_CAP, ImpressionCap
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.dataset import IdLists, Sequences, WatchLog
from training.user_profiles import UserProfiles

NO_INTEREST: Final = -1


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of the users at one moment."""

    moment: datetime
    histories: Sequences
    seen: IdLists
    """What channels leave out; ``capped`` is not in it."""
    segments: dict[int, str]
    profiles: UserProfiles = field(default_factory=UserProfiles.nobody)
    capped: IdLists = field(default_factory=IdLists.empty)
    """Videos that were shown often enough, see ``features/impressions.py``."""
    follows: IdLists = field(default_factory=IdLists.empty)
    """Uploaders that each user follows."""

    @classmethod
    def read(cls, log: WatchLog, moment: datetime, cap: ImpressionCap = NO_CAP) -> "Past":
        """Histories as serving has them, and everything seen or shown too often, before ``moment``."""
        histories, seen = log.sequences(moment, HISTORY_LENGTH), log.seen(moment)
        capped = IdLists.empty() if cap.max_shown is None else log.capped(moment, cap)
        return cls(moment, histories, seen, log.segments(), log.profiles(), capped, log.follows(moment))

    def without(self, hidden: Int64[np.ndarray, " H"], user_ids: Int64[np.ndarray, " B"]) -> "Past":
        """The same of these users, where ``hidden`` videos, which nobody is shown, count as seen."""
        if not len(hidden):
            return self
        users = np.unique(user_ids)
        ends = np.arange(len(users) + 1) * len(hidden)
        return replace(self, seen=self.seen.joined(IdLists(users, ends, np.tile(hidden, len(users))), users))

    def without_capped(self, user_ids: Int64[np.ndarray, " B"]) -> "Past":
        """The same of these users, where what is capped counts as seen."""
        if not len(self.capped.ids):
            return self
        return replace(self, seen=self.seen.joined(self.capped, np.unique(user_ids)))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Lists of a block of users, and the interests behind them (``None`` for bundles without)."""

    lists: Merged
    interests: Float32[np.ndarray, "B K D"] | None = None
    searched: Bool[np.ndarray, "B K"] | None = None
    """Interests that were not pruned; none of a user without a known history."""
    found: Int64[np.ndarray, "B K M"] | None = None
    """What each interest found before the merge, best first, then ``NO_VIDEO``."""


@runtime_checkable
class Ranker(Protocol):
    """One kind of bundle, opened for ranking."""

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """The ``top_n`` best unseen videos of each user; fewer only where fewer are left."""
        ...


@runtime_checkable
class Finder(Protocol):
    """A bundle as one channel among others: what it does not know others say, and nothing is filled up."""

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """At most ``limit`` unseen videos of each user; none of users that the bundle knows nothing of."""
        ...


@runtime_checkable
class BundleRanker(Ranker, Finder, Protocol):
    """What ``open_ranker`` makes of a bundle."""


def filled(
    ranked: Ranked,
    popular: Int64[np.ndarray, " V"],
    seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
    top_n: int,
) -> Ranked:
    """``ranked`` with the unseen popular videos, score 0, behind every list that is short.

    Args:
        popular: ids, the most popular first.
        seen: place of the user and place of the video in ``popular``.
    """
    lists, width = ranked.lists, min(top_n, len(popular))
    num_found = (lists.video_ids != NO_VIDEO).sum(axis=1)
    short = np.flatnonzero(num_found < width)
    if not len(short):
        return ranked
    shape = (len(lists.video_ids), width)
    ids, scores = np.full(shape, NO_VIDEO, dtype=np.int64), np.full(shape, -np.inf)
    interests = np.full(shape, NO_INTEREST, dtype=np.int64)
    most = min(width, lists.video_ids.shape[1])
    for whole, part in ((ids, lists.video_ids), (scores, lists.scores), (interests, lists.interests)):
        whole[:, :most] = part[:, :most]
    for user in short.tolist():
        left = np.ones(len(popular), dtype=bool)
        left[seen[1][seen[0] == user]] = False
        left &= ~np.isin(popular, ids[user, : num_found[user]])
        more = popular[left][: width - num_found[user]]
        places = slice(num_found[user], num_found[user] + len(more))
        ids[user, places], scores[user, places] = more, 0.0
    return replace(ranked, lists=Merged(ids, scores, interests))


def first_unseen(
    order: Int64[np.ndarray, " V"],
    users: Int64[np.ndarray, " S"],
    videos: Int64[np.ndarray, " S"],
    *,
    num_users: int,
    top_n: int,
) -> Int64[np.ndarray, "{num_users} {top_n}"]:
    """Places in ``order`` of the first ``top_n`` videos that each user has not seen, then -1.

    Args:
        users: place of the user of each seen video.
        videos: that video, in the numbers of ``order``.
    """
    most_seen = np.bincount(users, minlength=1).max()
    width = min(len(order), top_n + int(most_seen))
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    near = place_of[videos] < width
    seen = np.zeros((num_users, max(width, top_n)), dtype=bool)
    seen[:, width:] = True
    seen[users[near], place_of[videos[near]]] = True
    places = np.argsort(seen, axis=1, kind="stable")[:, :top_n]
    return np.where(np.take_along_axis(seen, places, axis=1), -1, places)


def seen_places(
    seen: IdLists, user_ids: Int64[np.ndarray, " B"], vocabulary: Vocabulary
) -> tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]]:
    """``(place of the user, place of the video in the vocabulary)`` of everything that was seen."""
    users, ids = seen.pairs(user_ids)
    rows = vocabulary.rows_of(ids)
    known = rows != PAD_ROW
    return users[known], rows[known] - 1
