"""What recall answers: plain values that the command line prints and the API sends."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import uuid4

import msgspec

NO_INTEREST: Final = -1
"""The interest of a candidate that no interest found."""
NUM_TOP_TAGS: Final = 5
NUM_NEAREST: Final = 10


class Reason(StrEnum):
    """Why an answer is not, or not only, what all channels found."""

    UNKNOWN_USER = "unknown_user"
    """No features of this user at all: popular videos."""
    NO_HISTORY = "no_history"
    """No channel knows a video of the history: popular videos of the user's segment."""
    SHORT_LIST = "short_list"
    """The channels found fewer than ``top_n``: popular videos fill the end."""
    CHANNEL_LEFT_OUT = "channel_left_out"
    """A channel failed or was late, see ``left_out``: the others share its weight."""
    INDEX_UNAVAILABLE = "index_unavailable"
    """No channel answered, since Milvus failed or was late: popular videos of the user's segment."""
    FEATURES_UNAVAILABLE = "features_unavailable"
    """The feature store failed or was late: popular videos, those already seen included."""


class LeftOut(StrEnum):
    """Why a channel is missing from an answer."""

    FAILED = "failed"
    LATE = "late"
    MISMATCH = "mismatch"
    """The index held another release than the one that answers."""


class Rule(StrEnum):
    """What keeps videos out of an answer before the search."""

    SEEN = "seen"
    """The user has seen them."""
    HIDDEN = "hidden"
    """An operator has hidden them from everybody, or the request names them."""
    CAPPED = "capped"
    """The user was shown them often enough."""
    FILTERS = "filters"
    """Their attributes do not pass the request's filters."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was done for one answer, in numbers; zeros where no interest was searched with."""

    num_interests: int = 0
    """Of all channels, before pruning."""
    num_searched: int = 0
    """After it."""
    num_hits: int = 0
    """Different videos that the interests found."""
    num_shared_hits: int = 0
    """Those that more than one interest found."""
    ruled_out: Mapping[Rule, int] = field(default_factory=dict)
    """Videos that each rule kept out of the searches."""
    num_unknown: int = 0
    """Watches of the history that were left out, since nothing is known of their videos."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """One channel that found a candidate."""

    channel: str
    rank: int
    """In the channel's own list, from 0."""
    interests: tuple[int, ...]
    """Interests of the channel that found it, the one that scores it highest first."""


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One video and where it comes from; a Struct, since every answer makes hundreds, and JSON of them."""

    video_id: int
    score: float
    """Fused score of several channels; of a single channel its own, such as the inner product."""
    interest: int
    """The interest that scores it highest, from 0; ``NO_INTEREST`` if no interest found it."""
    also_found_by: tuple[int, ...]
    """Other interests of the same channel that found it too."""
    tags: tuple[int, ...]
    uploader: int | None
    channels: tuple[Origin, ...] = ()
    """Every channel that found it; the first that has interests is the one that ``interest`` belongs to."""

    def is_of(self, channel: str, interest: int) -> bool:
        """Whether it stands under this interest of this channel."""
        first = next((origin for origin in self.channels if origin.interests), None)
        return first is not None and (first.channel, first.interests[0]) == (channel, interest)


@dataclass(frozen=True, slots=True)
class Grounds:
    """Why an interest is searched or pruned."""

    num_positives: int
    """Positives of the history whose best interest it is."""
    share: float
    """Of all positives, smoothed by the shares of all users in training."""
    min_share: float
    """A smaller share is pruned."""
    is_copy: bool
    """Whether a more activated interest points the same way: then it is pruned, too."""


@dataclass(frozen=True, slots=True)
class Interest:
    """One interest of the user, for people who want to understand a list."""

    channel: str
    interest: int
    weight: float
    """Share of the history's positives whose best interest this is; of stored interests their importance."""
    is_searched: bool
    """False if it was pruned because its weight is too small."""
    num_found: int
    """Hits of its search."""
    num_kept: int
    """Candidates that stayed under it after the merge."""
    top_tags: tuple[int, ...]
    """Most frequent tags of those candidates, most frequent first."""
    nearest: tuple[int, ...] = ()
    """The first videos that its search found, whichever interest they stand under in the answer."""
    grounds: Grounds | None = None
    """Why it is searched or pruned; ``None`` where no interest is ever pruned."""


@dataclass(frozen=True, slots=True)
class RecallResult:
    """One answer, all of it from one release."""

    user_id: int
    release: str
    reason: Reason | None
    interests: tuple[Interest, ...]
    """Empty unless an explanation was asked for and the list comes from interests."""
    candidates: tuple[Candidate, ...]
    """Those of the channels first, best first; then popular ones that fill the end."""
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    """Channels that failed or were late."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally, compare=False)
    arm: str | None = None
    """Of the running experiment."""
    request_id: str = field(default_factory=lambda: uuid4().hex, compare=False)
    """Names this answer; watches that it led to should say it."""

    @property
    def strategy(self) -> str:
        """Where the list comes from: interests (and other channels), filled or popular."""
        if self.reason in (None, Reason.CHANNEL_LEFT_OUT):
            return "interests"
        return "filled" if self.reason is Reason.SHORT_LIST else "popular"


class Stopwatch:
    """Seconds per stage of one request."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add what was measured elsewhere; stages of channels that ran at once add up to more than passed."""
        for name, elapsed in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed

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
