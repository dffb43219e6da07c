"""What becomes of a fused list before it is answered: variety and limits, one greedy choice after another.

Each step takes the candidate of the greatest worth among those that no limit rules out. Worth is the score,
1 for the best of the list and 0 for the last, and

- plus ``category_diversity`` per chosen video of another category: the controllable aggregation of ComiRec
  (Cen et al., KDD 2020), which tends to maximise scores + lambda * pairs of different categories;
- times (1 - ``vector_diversity``), minus ``vector_diversity`` times the largest cosine (at least 0) with a
  chosen video: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998);
- minus what dislikes of the user take from it (``features/penalty.py``).

One implementation, for serving and for lists made offline. Ties go to the earlier candidate, so the same
input gives the same list.

Shape letters: B users, C candidates, N results, T most tags of one video, D dimensions, M chosen, P allowed.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from features.merge import NO_VIDEO, Merged
from features.merge_config import Arrangement

NO_TAG = -1
NO_UPLOADER = -1
LOOKED_AT: Final = 4096
"""Videos of a long list that are looked at together."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What is known of some candidates."""

    uploaders: Int64[np.ndarray, "B C"]
    """``NO_UPLOADER`` where unknown."""
    tags: Int64[np.ndarray, "B C T"]
    """Padded with ``NO_TAG``; the first is the category."""
    vectors: Float32[np.ndarray, "B C D"] | None = None
    """Of length 1; only where ``vector_diversity`` asks for them."""


FactsOf = Callable[[Int64[np.ndarray, "B C"], bool], VideoFacts]
"""Facts of these videos; with vectors if the flag says so."""


def arrange(
    candidates: Merged,
    facts_of: FactsOf,
    config: Arrangement,
    top_n: int,
    penalties: Float[np.ndarray, "B C"] | None = None,
) -> Merged:
    """``top_n`` of the candidates, chosen one after another; scores stay those of the fusion.

    Args:
        candidates: more than ``top_n``, or there is little to choose from.
        penalties: what is taken from the worth of each.
    """
    if not config.is_set:
        return _first(candidates if penalties is None else _penalised(candidates, penalties), top_n)
    facts = facts_of(candidates.video_ids, config.vector_diversity > 0)
    users = np.arange(len(candidates.video_ids))
    choice = _Choice(candidates, facts, config, penalties)
    chosen = np.full((len(users), min(top_n, candidates.video_ids.shape[1])), -1, dtype=np.int64)
    for rank in range(chosen.shape[1]):
        worth = np.where(choice.is_open, choice.worth, -np.inf)
        best = worth.argmax(axis=1)
        is_found = choice.is_open[users, best]
        if not is_found.any():
            break
        chosen[is_found, rank] = best[is_found]
        choice.take(best, is_found)
    return _taken(candidates, chosen)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one list, for what fills its end."""

    config: Arrangement
    facts_of: FactsOf
    chosen: Int64[np.ndarray, " M"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """What the list holds already."""

    @property
    def are_set(self) -> bool:
        """Whether there is any."""
        return self.config.max_per_uploader is not None or self.config.max_per_tag is not None

    def allowed(self, video_ids: Int64[np.ndarray, " N"], number: int) -> Int64[np.ndarray, " P"]:
        """Places of the first ``number`` of ``video_ids`` that may follow what was chosen.

        One pass, so that limits that rule out nearly all of a catalogue cost no more than to look at it.
        """
        counts = _Counts(self.config)
        counts.admit(self.facts_of(self.chosen[None], False), len(self.chosen))
        places: list[int] = []
        for start in range(0, len(video_ids), LOOKED_AT):
            facts = self.facts_of(video_ids[start : start + LOOKED_AT][None], False)
            places += [start + place for place in counts.admit(facts, number - len(places))]
            if len(places) == number:
                break
        return np.array(places, dtype=np.int64)


class _Counts:
    """How many videos of each uploader and with each tag a list holds."""

    def __init__(self, config: Arrangement) -> None:
        self._most_of_uploader = config.max_per_uploader or np.inf
        self._most_of_tag = config.max_per_tag or np.inf
        self._of_uploader, self._of_tag = Counter[int](), Counter[int]()

    def admit(self, facts: VideoFacts, number: int) -> list[int]:
        """Count the first ``number`` videos that break no limit, and return their places."""
        uploaders, tags = facts.uploaders[0], facts.tags[0]
        is_closed = np.isin(uploaders, self._full_uploaders()) | np.isin(tags, self._full_tags()).any(axis=1)
        admitted: list[int] = []
        for place in np.flatnonzero(~is_closed).tolist():
            if len(admitted) == number:
                break
            uploader, own = int(uploaders[place]), set(tags[place].tolist()) - {NO_TAG}
            if self._of_uploader[uploader] >= self._most_of_uploader:
                continue
            if any(self._of_tag[tag] >= self._most_of_tag for tag in own):
                continue
            self._of_uploader[uploader] += uploader != NO_UPLOADER
            self._of_tag.update(own)
            admitted.append(place)
        return admitted

    def _full_uploaders(self) -> list[int]:
        return [each for each, number in self._of_uploader.items() if number >= self._most_of_uploader]

    def _full_tags(self) -> list[int]:
        return [each for each, number in self._of_tag.items() if number >= self._most_of_tag]


class _Choice:
    """Which candidates are still open, and what they are worth now."""

    def __init__(
        self,
        candidates: Merged,
        facts: VideoFacts,
        config: Arrangement,
        penalties: Float[np.ndarray, "B C"] | None,
    ) -> None:
        self._facts = facts
        self._config = config
        self._relevance = _calibrated(candidates) * (1 - config.vector_diversity)
        self._variety = np.zeros_like(self._relevance) if penalties is None else -penalties
        self._likeness = np.zeros_like(self._relevance)
        self._num_of_uploader = np.zeros(facts.uploaders.shape, dtype=np.int64)
        self._num_of_tag = np.zeros(facts.tags.shape, dtype=np.int64)
        self.is_open: Bool[np.ndarray, "B C"] = candidates.video_ids != NO_VIDEO

    @property
    def worth(self) -> Float[np.ndarray, "B C"]:
        """Of every candidate, open or not."""
        return self._relevance + self._variety - self._config.vector_diversity * self._likeness

    def take(self, places: Int64[np.ndarray, " B"], is_found: Bool[np.ndarray, " B"]) -> None:
        """Count the candidates at ``places`` as chosen, for the users for whom one was found."""
        users = np.arange(len(places))
        self.is_open[users, places] = False
        found, config = is_found[:, None], self._config
        tags = self._facts.tags[users, places]  # (B, T)
        if config.category_diversity:
            category, own = self._facts.tags[:, :, 0], tags[:, :1]
            differs = (category != NO_TAG) & (own != NO_TAG) & (category != own)
            self._variety += config.category_diversity * (found & differs)
        if config.vector_diversity and self._facts.vectors is not None:
            taken = self._facts.vectors[users, places]
            cosines = np.einsum("bcd,bd->bc", self._facts.vectors, taken)
            self._likeness = np.where(found, np.maximum(self._likeness, cosines), self._likeness)
        if config.max_per_uploader:
            uploader = self._facts.uploaders[users, places][:, None]
            self._num_of_uploader += found & (uploader != NO_UPLOADER) & (self._facts.uploaders == uploader)
            self.is_open &= self._num_of_uploader < config.max_per_uploader
        if config.max_per_tag:
            for tag in tags.T:
                shared = (tag != NO_TAG)[:, None, None] & (self._facts.tags == tag[:, None, None])
                self._num_of_tag += found[:, :, None] & shared
            self.is_open &= (self._num_of_tag < config.max_per_tag).all(axis=2)


def _first(candidates: Merged, top_n: int) -> Merged:
    parts = (candidates.video_ids, candidates.scores, candidates.interests)
    return Merged(*(part[:, :top_n] for part in parts))


def _penalised(candidates: Merged, penalties: Float[np.ndarray, "B C"]) -> Merged:
    """By worth; a list without penalties stays as it is."""
    worth = np.where(candidates.video_ids == NO_VIDEO, -np.inf, _calibrated(candidates) - penalties)
    order = np.where(
        penalties.any(axis=1, keepdims=True),
        np.argsort(-worth, axis=1, kind="stable"),
        np.arange(worth.shape[1]),
    )
    return _taken(candidates, order)


def _calibrated(candidates: Merged) -> Float[np.ndarray, "B C"]:
    """1 for the best of a list and 0 for its last; 1 for all where they are equal."""
    is_there = candidates.video_ids != NO_VIDEO
    scores = candidates.scores.astype(np.float64)
    highest = np.where(is_there, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    lowest = np.where(is_there, scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    spread = np.where(np.isfinite(highest) & (highest > lowest), highest - lowest, np.inf)
    return np.where(
        is_there, 1 - (np.where(is_there, highest, 0) - np.where(is_there, scores, 0)) / spread, 0
    )


def _taken(candidates: Merged, places: Int64[np.ndarray, "B N"]) -> Merged:
    """The candidates at ``places``; -1 is nothing."""
    missing = places < 0
    return Merged(
        np.where(missing, NO_VIDEO, np.take_along_axis(candidates.video_ids, places, axis=1)),
        np.where(missing, -np.inf, np.take_along_axis(candidates.scores, places, axis=1)),
        np.where(missing, -1, np.take_along_axis(candidates.interests, places, axis=1)),
    )
