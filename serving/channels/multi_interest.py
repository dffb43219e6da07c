"""Several interests from history and profile, by the exported program; one search with those that stay.

Shape letters: D dimensions, S videos to leave out.
"""

from datetime import UTC, datetime

import numpy as np
from jaxtyping import Float32, Int64

from features.profile import tokens_of
from features.user_features import UserFeatures
from serving.channels import ANYTHING, Found, Scope
from serving.channels.vector_search import VectorSearch
from serving.index import CandidateIndex, Hits
from serving.interests import InterestExtractor, UserInterests
from serving.result import Stopwatch


class MultiInterestChannel:
    """A bundle of kind ``interests``."""

    stage = None

    def __init__(self, extractor: InterestExtractor, search: VectorSearch) -> None:
        self._extractor = extractor
        self._search = search

    @property
    def index(self) -> CandidateIndex:
        """What it searches."""
        return self._search.index

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """See ``Channel``."""
        watch = Stopwatch()
        with watch.stage("interests"):
            # The moment that the history was built for: as in training, not the clock of this machine.
            now = user.feature_time or datetime.now(UTC)
            interests = self._extractor.extract(user.user_id, user.history, now, tokens_of(user))
        if interests is None:
            return None
        with watch.stage("search"):
            hits = self._search.search(interests, limit, seen=user.seen, filters=scope.filters)
        return Found(self._search.merged(interests, hits, limit), interests, hits, seconds=watch.seconds)

    def nearest(
        self, vector: Float32[np.ndarray, " D"], limit: int, *, exclude: Int64[np.ndarray, " S"]
    ) -> Hits:
        """Videos nearest to a vector, in one row."""
        query = UserInterests(vector[None], np.ones(1, dtype=np.float32), np.ones(1, dtype=bool))
        return self._search.search(query, limit, seen=exclude)

    def check(self) -> None:
        """See ``Channel``."""
        self._search.check()
