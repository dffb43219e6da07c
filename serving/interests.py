"""A user's history, and profile, to interest vectors, by the program that the bundle exported.

Shape letters: K interests, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from jaxtyping import Bool, Float32

from features.bundle import EXTRACTOR, Bundle
from features.capacity import DEFAULT_CAPACITY, ActivationTable, Capacity, Pruner, count_positives
from features.history import History, pad_histories
from features.profile import profile_of
from features.programs import open_program
from features.vocabulary import Vocabulary
from serving.result import Grounds


@dataclass(frozen=True, slots=True)
class UserInterests:
    """All interests of one user, pruned ones included."""

    vectors: Float32[np.ndarray, "K D"]
    activation: Float32[np.ndarray, " K"]
    """Share of the history's positives whose best interest is k."""
    is_searched: Bool[np.ndarray, " K"]
    """False where the interest is pruned; at least one is searched."""
    grounds: tuple[Grounds, ...] = ()
    """Why, of each interest; empty where none is ever pruned."""
    num_unknown: int = 0
    """Watches of the history that were left out, since nothing is known of their videos."""
    bundle: str | None = None
    """``<model>/<version>`` whose program made them; ``None`` for vectors that are stored or given."""


class InterestExtractor:
    """The ONNX program of one ``interests`` bundle. Safe to call from several threads.

    Args:
        capacity: which interests are searched.
        vocabulary: rows of watched videos; the bundle's own if ``None``, see ``LiveItems``.
    """

    def __init__(
        self, bundle: Bundle, capacity: Capacity = DEFAULT_CAPACITY, vocabulary: Vocabulary | None = None
    ) -> None:
        # One request is one row: more threads only get in each other's way.
        self._session = open_program(bundle.path / EXTRACTOR, num_threads=1)
        self._bundle = bundle.name
        self._vocabulary = vocabulary or bundle.vocabulary
        self._profile = profile_of(bundle)
        self._length = bundle.manifest.history_length
        record = ActivationTable(bundle.activation, bundle.manifest.num_interests)
        self._pruner = Pruner.of(record, capacity)

    def extract(
        self, user_id: int, history: History, now: datetime, tokens: Sequence[str] = ()
    ) -> UserInterests | None:
        """Interests of one user, or ``None`` if the bundle knows nothing of the user.

        Without a known video in the history, a bundle that reads profiles still knows their attributes.

        Args:
            now: ages of watches count from here.
            tokens: attributes of the user, see ``features/profile.py``.
        """
        batch = pad_histories([history], self._vocabulary, length=self._length, now=now)
        if self._profile is not None:
            batch = replace(batch, profile=self._profile.rows_of_user(tokens))
        if not batch.is_known()[0]:
            return None
        interests, activation = self._session.run(["interests", "activation"], batch.feed())
        num_positives = count_positives(batch.video_rows, batch.actions)
        verdict = self._pruner.judge(np.array([user_id]), interests, activation, num_positives)
        won = (activation[0] * num_positives[0]).round().astype(int).tolist()
        columns = zip(won, verdict.share[0].tolist(), verdict.is_copy[0].tolist(), strict=True)
        grounds = [Grounds(num, share, self._pruner.min_share, is_copy) for num, share, is_copy in columns]
        return UserInterests(
            interests[0], activation[0], verdict.is_kept[0], tuple(grounds), batch.num_unknown, self._bundle
        )
