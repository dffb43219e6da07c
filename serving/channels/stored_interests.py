"""Interests that a bundle stores per user, and one search with all of them."""

import numpy as np

from features.user_features import UserFeatures
from features.user_vectors import StoredVectors
from serving.channels import ANYTHING, Found, Scope
from serving.channels.vector_search import VectorSearch
from serving.index import CandidateIndex
from serving.interests import UserInterests
from serving.result import Stopwatch


class StoredInterestsChannel:
    """A bundle of kind ``stored_interests``.

    Args:
        stored: the rows of the bundle itself, for users whose look-up brought none.
        is_looked_up: whether look-ups bring the vectors of this bundle, and not of another one.
    """

    stage = None

    def __init__(self, stored: StoredVectors, search: VectorSearch, *, is_looked_up: bool) -> None:
        self._stored = stored
        self._search = search
        self._is_looked_up = is_looked_up

    @property
    def index(self) -> CandidateIndex:
        """What it searches."""
        return self._search.index

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """See ``Channel``."""
        own = (user.vectors if self._is_looked_up else None) or self._stored.of_user(user.user_id)
        if own is None:
            return None
        everyone = np.ones(len(own.vectors), dtype=bool)
        interests = UserInterests(own.vectors, own.weights / own.weights.sum(), everyone)
        watch = Stopwatch()
        with watch.stage("search"):
            hits = self._search.search(interests, limit, seen=user.seen, filters=scope.filters)
        return Found(self._search.merged(interests, hits, limit), interests, hits, seconds=watch.seconds)

    def check(self) -> None:
        """See ``Channel``."""
        self._search.check()
