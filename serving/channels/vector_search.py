"""One batched search with the interests of a user, over the item vectors of one bundle.

Shape letters: K interests, D dimensions, S videos seen, M hits per interest.
"""

import numpy as np
from jaxtyping import Int64

from features.filters import NO_FILTERS, VideoFilters
from features.merge import NO_VIDEO, Merged, merge_interests
from features.schema import PAD_ROW
from serving.agreement import NamedVideos, require_agreement
from serving.errors import ReleaseMismatchError
from serving.index import CandidateIndex, Hits
from serving.interests import UserInterests


class VectorSearch:
    """An index and the videos that are in it.

    Args:
        videos: those that the bundle filled the index with.
        min_share: see ``MergeConfig``.
    """

    def __init__(self, index: CandidateIndex, videos: NamedVideos, *, min_share: float | None = None) -> None:
        self.index = index
        self._min_share = min_share
        self._videos = videos

    def search(
        self,
        interests: UserInterests,
        limit: int,
        *,
        seen: Int64[np.ndarray, " S"],
        filters: VideoFilters = NO_FILTERS,
    ) -> Hits:
        """Hits in one row per interest; interests that are not searched found nothing.

        Raises:
            IndexUnavailableError: the index did not answer.
            ReleaseMismatchError: interests, index and videos are not of one release.
        """
        if interests.bundle not in (None, self._videos.name):
            raise ReleaseMismatchError(f"interests of {interests.bundle} met videos of {self._videos.name}")
        searched = np.flatnonzero(interests.is_searched)
        known = seen[self._videos.vocabulary.rows_of(seen) != PAD_ROW]
        found = self.index.search(interests.vectors[searched], limit, exclude=known, filters=filters)
        require_agreement(interests.vectors[searched], found, self._videos)
        shape = (len(interests.vectors), found.video_ids.shape[1])
        video_ids = np.full(shape, NO_VIDEO, dtype=np.int64)
        scores = np.full(shape, -np.inf, dtype=np.float32)
        # The index may be behind the videos of today, for example where ``renew_catalogue`` was killed.
        is_known = self._videos.vocabulary.rows_of(found.video_ids) != PAD_ROW
        video_ids[searched] = np.where(is_known, found.video_ids, NO_VIDEO)
        scores[searched] = np.where(is_known, found.scores, -np.inf)
        return Hits(video_ids, scores)

    def merged(self, interests: UserInterests, hits: Hits, limit: int) -> Merged:
        """The list of one user out of what ``search`` found."""
        weights = interests.activation[None]
        return merge_interests(
            hits.video_ids[None], hits.scores[None], weights, limit, min_share=self._min_share
        )

    def check(self) -> None:
        """See ``CandidateIndex``."""
        self.index.check()
