"""What users watched, cut into sessions: the sentences of item2vec, the paths of node2vec's graph.

Shape letters: U users, W watches of all users, w watches of the sessions, S sessions (S1 = S + 1).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64
from pydantic import PositiveFloat

from features.positives import Action
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.dataset import Sequences
from training.skip_gram import SkipGramConfig

MICROSECONDS_PER_MINUTE: Final = 60_000_000


class SessionsConfig(SkipGramConfig):
    """What a session is."""

    plain_watches: bool = True
    """Watches that are neither positives nor dislikes belong to sessions too."""
    session_gap_minutes: PositiveFloat | None = None
    """A longer pause ends a session; unset: all that a user watched is one."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Watches of session s are ``rows[bounds[s] : bounds[s + 1]]``, oldest first."""

    rows: Int64[np.ndarray, " w"]
    bounds: Int64[np.ndarray, " S1"]

    @classmethod
    def of(cls, sequences: Sequences, vocabulary: Vocabulary, config: SessionsConfig) -> "Sessions":
        """Cut at every user, and at every pause between two watches of a session."""
        rows = vocabulary.rows_of(sequences.video_ids)
        kept = (rows != PAD_ROW) & _belongs(sequences.actions, plain_watches=config.plain_watches)
        users = np.repeat(np.arange(len(sequences)), sequences.lengths())[kept]
        is_first = np.diff(users, prepend=-1) != 0
        if config.session_gap_minutes is not None:
            pauses = np.diff(sequences.times_us[kept], prepend=0)
            is_first |= pauses > config.session_gap_minutes * MICROSECONDS_PER_MINUTE
        return cls(rows[kept], np.append(np.flatnonzero(is_first), len(users)))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def numbers(self) -> Int64[np.ndarray, " w"]:
        """The session of each watch."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))


def _belongs(actions: Int64[np.ndarray, " W"], *, plain_watches: bool) -> Bool[np.ndarray, " W"]:
    if plain_watches:
        return (actions & Action.DISLIKED.value) == 0
    return (actions & Action.POSITIVE.value) != 0
