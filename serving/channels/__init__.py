"""A channel answers "which videos for this user?" in its own way; recall fuses what the channels find.

One file per kind of bundle: ``multi_interest`` (the exported program and a vector search), ``neighbours``
(weights between videos), ``stored_interests`` (vectors per user and a vector search), ``popular``,
``followed`` (videos of followed uploaders).
``opening`` makes them from a release, ``asking`` asks them all in time.

Shape letters: S videos out of scope, P those that a channel knows, and what was seen.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from features.filters import NO_FILTERS, VideoFilters
from features.merge import Merged
from features.merge_config import AS_IT_IS, Arrangement
from features.schema import PAD_ROW
from features.user_features import UserFeatures
from features.vocabulary import Vocabulary
from serving.index import Hits
from serving.interests import UserInterests


@dataclass(frozen=True, slots=True)
class Scope:
    """Which videos one request may get."""

    filters: VideoFilters = NO_FILTERS
    outside: Int64[np.ndarray, " S"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Ids of the catalogue that the filters rule out, for channels that know no attributes."""
    arrange: Arrangement = AS_IT_IS
    """What its list as a whole must keep to."""

    def barred(
        self, user: UserFeatures, vocabulary: Vocabulary
    ) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
        """What the user may not get, for a search in memory: the user's place, 0, and the videos' places."""
        rows = vocabulary.rows_of(np.concatenate([user.seen, self.outside]))
        places = rows[rows != PAD_ROW] - 1
        return np.zeros(len(places), dtype=np.int64), places


ANYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Found:
    """What one channel found for one user."""

    lists: Merged
    """Of one user, best first, without what was seen."""
    interests: UserInterests | None = None
    """Interests behind the list, for channels that search with some."""
    hits: Hits | None = None
    """What each of these interests found."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage, of a channel that waits for another process; whoever asks takes the time of the others."""


@runtime_checkable
class Channel(Protocol):
    """One bundle of a release, opened."""

    @property
    def stage(self) -> str | None:
        """What its time in memory is called; ``None``: another process answers, so that it can be late."""
        ...

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """At most ``limit`` unseen videos in ``scope``; ``None`` if the bundle knows nothing of the user.

        Raises:
            IndexUnavailableError: what it searches did not answer.
        """
        ...

    def check(self) -> None:
        """Return if it could answer now; raises what ``find`` raises."""
        ...
