"""Popular videos: what a user gets whom the interests cannot answer, and what fills short lists.

Shape letters: N results, S excluded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from features.bundle import Bundle
from features.schema import SCORE, SEGMENT, VIDEO_ID


@dataclass(frozen=True, slots=True)
class RankedVideos:
    """Best first; scores compare only within one list."""

    video_ids: Int64[np.ndarray, " N"]
    scores: Float64[np.ndarray, " N"]


class PopularVideos:
    """Lists per segment, then the list of all users, then every video by popularity in training.

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
    def from_bundles(cls, interests: Bundle, ranking: Bundle | None) -> "PopularVideos":
        """Lists of the ranking bundle, if there is one; the vocabulary is sorted by popularity."""
        lists: dict[str | None, RankedVideos] = {}
        if ranking is not None:
            segments = np.array(ranking.ranking[SEGMENT].to_pylist(), dtype=object)
            ids, scores = ranking.ranking[VIDEO_ID].to_numpy(), ranking.ranking[SCORE].to_numpy()
            for segment in set(segments.tolist()):
                rows = np.flatnonzero(segments == segment)
                lists[segment] = RankedVideos(ids[rows], scores[rows])
        return cls(lists, interests.video_ids)

    def top(self, segment: str | None, limit: int, *, exclude: Int64[np.ndarray, " S"]) -> RankedVideos:
        """The ``limit`` most popular videos outside ``exclude``; fewer only when fewer are left."""
        video_ids, scores = np.empty(0, dtype=np.int64), np.empty(0)
        for tier in self._tiers(segment):
            left = ~np.isin(tier.video_ids, np.concatenate([exclude, video_ids]))
            video_ids = np.concatenate([video_ids, tier.video_ids[left]])[:limit]
            scores = np.concatenate([scores, tier.scores[left]])[:limit]
            if len(video_ids) == limit:
                break
        return RankedVideos(video_ids, scores)

    def _tiers(self, segment: str | None) -> Iterator[RankedVideos]:
        for key in dict.fromkeys((segment, None)):
            if key in self._lists:
                yield self._lists[key]
        yield self._every_video
