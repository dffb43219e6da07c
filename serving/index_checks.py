"""Whether the index still finds what exact search finds, for searches that users caused.

Every index remembers its newest search. Now and then it is asked again, and exact search over the vectors
in memory says what it should have found. That runs beside the answers and takes a second for a million
videos, so it is rare.

Shape letters: K queries, D dimensions, S excluded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import structlog
from jaxtyping import Float32, Int64

from features.filters import NO_FILTERS, VideoFilters
from serving.errors import IndexUnavailableError
from serving.index import CandidateIndex, Hits
from serving.verify import SCORE_TOLERANCE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Search:
    queries: np.ndarray
    limit: int
    exclude: np.ndarray
    filters: VideoFilters


class WatchedIndex:
    """A ``CandidateIndex`` that can be compared with the exact one.

    Args:
        open_exact: the exact index over the same videos; called by the first comparison.
    """

    def __init__(self, inner: CandidateIndex, open_exact: Callable[[], CandidateIndex]) -> None:
        self._inner = inner
        self._open_exact = open_exact
        self._newest: _Search | None = None

    def search(
        self,
        queries: Float32[np.ndarray, "K D"],
        limit: int,
        *,
        exclude: Int64[np.ndarray, " S"],
        filters: VideoFilters = NO_FILTERS,
    ) -> Hits:
        """See ``CandidateIndex``."""
        self._newest = _Search(queries, limit, exclude, filters)
        return self._inner.search(queries, limit, exclude=exclude, filters=filters)

    def check(self) -> None:
        """See ``CandidateIndex``."""
        self._inner.check()

    def recall_of_newest(self) -> float | None:
        """Share of the exact hits of the newest search that the index finds; ``None`` before the first one.

        Raises:
            IndexUnavailableError: it did not answer.
        """
        if (one := self._newest) is None:
            return None
        exact = self._exact.search(one.queries, one.limit, exclude=one.exclude, filters=one.filters)
        if not exact.scores.size:
            return None
        found = self._inner.search(one.queries, one.limit, exclude=one.exclude, filters=one.filters)
        # By score, not by id: where scores tie, either video is right.
        good = found.scores >= exact.scores[:, -1:] - SCORE_TOLERANCE
        return min(float(good.sum() / exact.scores.size), 1.0)

    @cached_property
    def _exact(self) -> CandidateIndex:
        return self._open_exact()


class IndexChecks:
    """Compares the indexes of what is live.

    Args:
        indexes: by channel, as they are now.
        note: gets each channel and its share, ``None`` where the index did not answer.
    """

    def __init__(
        self, indexes: Callable[[], dict[str, WatchedIndex]], note: Callable[[str, float | None], None]
    ) -> None:
        self._indexes, self._note = indexes, note

    def run(self) -> None:
        """Compare once; channels that nobody was answered from since the release opened are left out."""
        for channel, index in self._indexes().items():
            try:
                share = index.recall_of_newest()
            except IndexUnavailableError as error:
                log.warning("index not compared with exact search", channel=channel, error=str(error))
                self._note(channel, None)
            else:
                if share is not None:
                    self._note(channel, share)
