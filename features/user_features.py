"""What one look-up in the feature store tells about a user."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from features.follows import Follows
from features.history import History
from features.impressions import nothing_shown
from features.user_vectors import UserVectors


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """Features of one user as of ``feature_time``; a user without watches has an empty history."""

    user_id: int
    history: History
    seen: Int64[np.ndarray, " S"]
    """Videos that may not be recommended again."""
    segment: str | None = None
    profile: list[str] = field(default_factory=list)
    feature_time: datetime | None = None
    """End of the day that the history was built for."""
    vectors: UserVectors | None = None
    """Interests that the bundle of the look-up stored for this user."""
    activation: Float32[np.ndarray, " K"] | None = None
    """How often training of the bundle of the look-up activated each interest, faded."""
    shown: Int64[np.ndarray, "N 3"] = field(default_factory=nothing_shown)
    """How often videos were shown, see ``features/impressions.py``."""
    follows: Follows = field(default_factory=Follows)
    """Whom the user follows."""


NO_VIEWS: Final[frozenset[str]] = frozenset()
"""Every view is read."""


@runtime_checkable
class FeatureLookup(Protocol):
    """Where serving gets its users from."""

    def lookup(
        self, user_id: int, bundle: str | None = None, without: frozenset[str] = NO_VIEWS
    ) -> UserFeatures | None:
        """Features of a user, or ``None`` if nothing at all is known.

        Args:
            bundle: ``<model>/<version>`` whose rows of the user are wanted, too.
            without: views that need not be read; each takes its time.

        Raises:
            StoreUnavailableError: the store did not answer.
        """
        ...


def unpack_ids(packed: bytes | None) -> Int64[np.ndarray, " S"]:
    """The ids that ``features/snapshots.py`` packed."""
    return np.frombuffer(packed or b"", dtype="<i8").astype(np.int64)
