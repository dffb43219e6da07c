"""Popular videos: what a user gets whom no channel knows, and what fills short lists; offline and online.

Shape letters: N results, S excluded, L last, V videos.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from features.arrange import Limits
from features.bundle import RANKING_KIND, Bundle
from features.merge_config import INTERESTS, POPULAR
from features.schema import SCORE, SEGMENT, VIDEO_ID


@dataclass(frozen=True, slots=True)
class RankedVideos:
    """Best first; scores compare only within one list."""

    video_ids: Int64[np.ndarray, " N"]
    scores: Float64[np.ndarray, " N"]


DEEPER: Final = 4
"""So many times deeper a ranking is read where limits rule out too much of it."""
NOBODY: RankedVideos = RankedVideos(np.empty(0, dtype=np.int64), np.empty(0))


class PopularVideos:
    """The list of the user's segment, then the list of all users, then every video by popularity in training.

    Args:
        lists: by segment; ``None`` is the list of all users.
        every_video: most popular first: the last resort, so that a list is short only when nothing is left.
    """

    def __init__(
        self, lists: Mapping[str | None, RankedVideos], every_video: Int64[np.ndarray, " V"]
    ) -> None:
        self._lists = lists
        self._every_video = RankedVideos(every_video, np.zeros(len(every_video)))

    @classmethod
    def of_ranking(cls, ranking: Bundle) -> "PopularVideos":
        """The lists of a bundle of kind ``ranking`` alone."""
        return cls(_lists(ranking), NOBODY.video_ids)

    @classmethod
    def of_channels(cls, bundles: Mapping[str, Bundle]) -> "PopularVideos":
        """The lists of ``popular``, if there is one, and the vocabulary of ``interests`` behind them.

        Vocabularies are sorted by popularity. Without a channel ``interests`` the first other one serves.
        """
        others = [name for name, bundle in bundles.items() if bundle.manifest.kind != RANKING_KIND]
        first = min(others, key=lambda name: (name != INTERESTS, name), default=None)
        every_video = bundles[first].vocabulary.video_ids if first else NOBODY.video_ids
        return cls(_lists(bundles[POPULAR]) if POPULAR in bundles else {}, every_video)

    def top(self, segment: str | None, limit: int, *, exclude: Int64[np.ndarray, " S"]) -> RankedVideos:
        """The ``limit`` most popular videos outside ``exclude``; fewer only when fewer are left.

        Scores are those of the first list that there is for the segment; behind it they are 0.
        """
        video_ids, scores = NOBODY.video_ids, NOBODY.scores
        for depth, tier in enumerate(self._tiers(segment)):
            left = ~np.isin(tier.video_ids, np.concatenate([exclude, video_ids]))
            video_ids = np.concatenate([video_ids, tier.video_ids[left]])[:limit]
            own = tier.scores[left] if depth == 0 else np.zeros(int(left.sum()))
            scores = np.concatenate([scores, own])[:limit]
            if len(video_ids) == limit:
                break
        return RankedVideos(video_ids, scores)

    def fill(
        self,
        segment: str | None,
        limit: int,
        *,
        exclude: Int64[np.ndarray, " S"],
        last: Int64[np.ndarray, " L"],
        limits: Limits | None = None,
    ) -> RankedVideos:
        """As ``top``, with the videos ``last`` only behind all others, if there are too few of these.

        Args:
            limits: of the list that is filled; a video that would break one is passed over.
        """
        if limits is None or not limits.are_set:
            return self._fill(segment, limit, exclude, last)
        depth = limit
        while True:
            found = self._fill(segment, depth, exclude, last)
            places = limits.allowed(found.video_ids, limit)
            if len(places) == limit or len(found.video_ids) < depth:
                return RankedVideos(found.video_ids[places], found.scores[places])
            depth *= DEEPER

    def _fill(
        self,
        segment: str | None,
        limit: int,
        exclude: Int64[np.ndarray, " S"],
        last: Int64[np.ndarray, " L"],
    ) -> RankedVideos:
        first = self.top(segment, limit, exclude=np.concatenate([exclude, last]))
        num_missing = limit - len(first.video_ids)
        if not num_missing or not len(last):
            return first
        rest = self.top(segment, num_missing, exclude=np.concatenate([exclude, first.video_ids]))
        scores = np.concatenate([first.scores, np.zeros(len(rest.scores))])
        return RankedVideos(np.concatenate([first.video_ids, rest.video_ids]), scores)

    def _tiers(self, segment: str | None) -> Iterator[RankedVideos]:
        for key in dict.fromkeys((segment, None)):
            if key in self._lists:
                yield self._lists[key]
        yield self._every_video


def _lists(ranking: Bundle) -> dict[str | None, RankedVideos]:
    segments = np.array(ranking.ranking[SEGMENT].to_pylist(), dtype=object)
    ids, scores = ranking.ranking[VIDEO_ID].to_numpy(), ranking.ranking[SCORE].to_numpy()
    lists = {}
    for segment in set(segments.tolist()):
        rows = np.flatnonzero(segments == segment)
        lists[segment] = RankedVideos(ids[rows], scores[rows])
    return lists
