"""What recall answers: plain values that the command line prints and the API sends."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

NO_INTEREST: Final = -1
"""The interest of a candidate that comes from the popular channel."""
NUM_TOP_TAGS: Final = 5


class Reason(StrEnum):
    """Why an answer is not, or not only, what the user's interests found."""

    UNKNOWN_USER = "unknown_user"
    """No features of this user at all: popular videos."""
    NO_HISTORY = "no_history"
    """The model knows no video of the history: popular videos of the user's segment."""
    SHORT_LIST = "short_list"
    """The interests found fewer than ``top_n``: popular videos fill the end."""
    INDEX_UNAVAILABLE = "index_unavailable"
    """Milvus failed or was late: popular videos of the user's segment."""
    FEATURES_UNAVAILABLE = "features_unavailable"
    """The feature store failed or was late: popular videos, those already seen included."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One video and where it comes from."""

    video_id: int
    score: float
    """Inner product with the interest; for the popular channel its own score. The two do not compare."""
    interest: int
    """The interest that scores it highest, from 0; ``NO_INTEREST`` from the popular channel."""
    also_found_by: tuple[int, ...]
    """Other interests that found it too."""
    tags: tuple[int, ...]
    uploader: int | None


@dataclass(frozen=True, slots=True)
class Interest:
    """One interest of the user, for people who want to understand a list."""

    interest: int
    weight: float
    """Share of the history's positives whose best interest this is."""
    is_searched: bool
    """False if it was pruned because its weight is too small."""
    num_found: int
    """Hits of its search."""
    num_kept: int
    """Candidates that stayed under it after the merge."""
    top_tags: tuple[int, ...]
    """Most frequent tags of those candidates, most frequent first."""


@dataclass(frozen=True, slots=True)
class RecallResult:
    """One answer, all of it from one release."""

    user_id: int
    release: str
    reason: Reason | None
    interests: tuple[Interest, ...]
    """Empty unless an explanation was asked for and the list comes from interests."""
    candidates: tuple[Candidate, ...]
    """Those of interests first, best first; then those of the popular channel."""
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def strategy(self) -> str:
        """Which channels the list comes from: interests, filled or popular."""
        if self.reason is None:
            return "interests"
        return "filled" if self.reason is Reason.SHORT_LIST else "popular"


class Stopwatch:
    """Seconds per stage of one request."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the ``with`` block, also when it raises."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def top_tags(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """The most frequent tags, ties by id."""
    counts = Counter(tag for candidate in candidates for tag in candidate.tags)
    ordered = sorted(counts, key=lambda tag: (-counts[tag], tag))
    return tuple(ordered[:NUM_TOP_TAGS])
