"""What the explorer shows of one user, as plain values for a template.

A look is a question to the same code that answers requests, but it is neither counted nor recorded.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from features.errors import StoreUnavailableError
from features.history import History
from features.merge_config import Arrangement
from features.positives import Action
from features.settings import Settings
from features.user_features import UserFeatures
from serving.pages.curated import Curated, VideoText
from serving.pages.names import Names
from serving.pages.planted import Met, Truth, met
from serving.recall import Recaller
from serving.result import Candidate, Interest, RecallResult

NUM_TOP_UPLOADERS: Final = 3
OUTCOMES: Final = (
    (Action.POSITIVE, "positive", "good"),
    (Action.LIKED, "liked", "good"),
    (Action.FOLLOWED, "followed", "good"),
    (Action.SHARED, "shared", "good"),
    (Action.COMMENTED, "commented", "good"),
    (Action.QUICK_SKIP, "skipped", "warn"),
    (Action.DISLIKED, "disliked", "bad"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A video as pages name it."""

    video_id: int
    title: str
    tags: list[str]
    uploader: str
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """One watch of the history."""

    video: Shown
    moment: datetime
    age: str
    completion_rate: float | None
    """Above 1 if it was played again."""
    outcomes: list[tuple[str, str]]
    """Text and kind of badge."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request may change."""

    top_n: int = 50
    arrangement: Arrangement | None = None
    """``None``: that of the release."""


@dataclass(frozen=True, slots=True)
class Side:
    """One answer, and what it came from."""

    name: str
    recaller: Recaller
    result: RecallResult
    arrangement: Arrangement
    milliseconds: float

    def of_interest(self, interest: Interest) -> list[Candidate]:
        """Candidates that stand under an interest, best first."""
        return [each for each in self.result.candidates if each.is_of(interest.channel, interest.interest)]

    def ranks(self) -> dict[int, int]:
        """Place of each video, from 1."""
        return {each.video_id: rank for rank, each in enumerate(self.result.candidates, start=1)}


@dataclass(frozen=True, slots=True)
class Look:
    """Everything about one user."""

    user: UserFeatures | None
    sides: list[Side]
    history: list[Watched]
    """Newest first."""
    videos: dict[int, Shown]
    planted: list[Met]
    topics: dict[int, str]
    """Planted topic by video; empty in real homes."""


class Looker:
    """Takes looks at the users of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._curated = Curated(settings)
        self._truth = Truth(settings)
        self.names = Names(settings)

    def look(
        self,
        user_id: int,
        asked: Asked,
        recallers: Sequence[tuple[str, Recaller]],
        also: Sequence[int] = (),
    ) -> Look:
        """Ask each of ``recallers``, by name; the first also tells the history.

        Args:
            also: videos that the page names besides.
        """
        _, first = recallers[0]
        user = _known(first, user_id)
        sides = [_ask(name, recaller, user_id, asked, user, first) for name, recaller in recallers]
        history = user.history if user else History((), (), ())
        ids = [int(video_id) for video_id in history.video_ids]
        for side in sides:
            ids += [each.video_id for each in side.result.candidates]
            ids += [video_id for each in side.result.interests for video_id in each.nearest]
        texts = self._curated.videos([*ids, *also])
        videos = self._shown(first, [*ids, *also], texts)
        moment = (user.feature_time if user else None) or datetime.now(UTC)
        planted = self._truth.planted(user_id, moment)
        topics = self._truth.topics(ids) if planted else {}
        return Look(
            user,
            sides,
            self._history(user_id, history, texts, videos),
            videos,
            met(planted, sides[0].result, topics),
            topics,
        )

    def _shown(
        self, recaller: Recaller, video_ids: Iterable[int], texts: dict[int, VideoText]
    ) -> dict[int, Shown]:
        ids = list(dict.fromkeys(video_ids))
        unknown = VideoText(None, None, None)
        attributes = recaller.catalogue.attributes(np.array(ids, dtype=np.int64))
        return {
            video_id: Shown(
                video_id,
                texts.get(video_id, unknown).title or f"video {video_id}",
                self.names.tags(tags),
                "" if uploader is None else f"uploader {uploader}",
                texts.get(video_id, unknown).category,
            )
            for video_id, (tags, uploader) in zip(ids, attributes, strict=True)
        }

    def _history(
        self, user_id: int, history: History, texts: dict[int, VideoText], videos: dict[int, Shown]
    ) -> list[Watched]:
        seconds = self._curated.watch_seconds(user_id, history)
        now = datetime.now(UTC)
        watches = []
        for video_id, time_us, actions in zip(
            *(
                np.asarray(column).tolist()
                for column in (history.video_ids, history.event_times, history.actions)
            ),
            strict=True,
        ):
            text, watched = texts.get(video_id), seconds.get((video_id, time_us))
            duration = text.duration_seconds if text else None
            rate = watched / duration if watched is not None and duration else None
            moment = datetime.fromtimestamp(time_us / 1e6, UTC)
            outcomes = [(name, kind) for bit, name, kind in OUTCOMES if actions & bit]
            watches.append(Watched(videos[video_id], moment, age_text(now - moment), rate, outcomes))
        return watches[::-1]


def top_uploaders(candidates: Sequence[Candidate]) -> list[tuple[int, int]]:
    """Uploaders of most candidates, with their numbers of candidates."""
    counts = Counter(each.uploader for each in candidates if each.uploader is not None)
    return sorted(counts.items(), key=lambda found: (-found[1], found[0]))[:NUM_TOP_UPLOADERS]


def age_text(age: timedelta) -> str:
    """An age in its largest unit: ``3 h ago``."""
    seconds = max(age.total_seconds(), 0.0)
    for name, length in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            number = int(seconds // length)
            plural = "s" if name == "day" and number > 1 else ""
            return f"{number} {name}{plural} ago"
    return "just now"


def _known(recaller: Recaller, user_id: int) -> UserFeatures | None:
    """What one look-up brings; nothing if it fails, then the answer says so."""
    try:
        return recaller.look_up(user_id)
    except StoreUnavailableError:
        return None


def _ask(
    name: str,
    recaller: Recaller,
    user_id: int,
    asked: Asked,
    user: UserFeatures | None,
    looked_up_by: Recaller,
) -> Side:
    started = time.perf_counter()
    # Another release may have stored other rows of the user, which its own look-up brings.
    is_same = recaller.release.bundles == looked_up_by.release.bundles
    result = recaller.recall(
        user_id,
        asked.top_n,
        explain=True,
        arrangement=asked.arrangement,
        known=user if is_same else None,
    )
    milliseconds = 1000 * (time.perf_counter() - started)
    return Side(name, recaller, result, asked.arrangement or recaller.release.merge.arrange, milliseconds)
