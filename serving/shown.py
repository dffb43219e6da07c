"""How much of a catalogue the newest answers have shown. Answers are noted; who asks pays for counting."""

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from features.schema import PAD_ROW
from features.vocabulary import Vocabulary

WINDOW: Final = 1000
"""Answers that count."""


class ShownVideos:
    """The videos of the newest answers.

    Args:
        vocabulary: of the catalogue; what others show is not part of it.
        window: answers that count, the newest.
    """

    def __init__(self, vocabulary: Vocabulary, window: int = WINDOW) -> None:
        self._vocabulary = vocabulary
        self._answers: deque[Sequence[int]] = deque(maxlen=window)

    def note(self, video_ids: Sequence[int]) -> None:
        """Note one answer."""
        self._answers.append(video_ids)

    @property
    def coverage(self) -> float:
        """Share of the catalogue that the newest answers have shown; 0 of an empty one."""
        if not len(self._vocabulary):
            return 0.0
        shown = np.fromiter(set(chain.from_iterable(self._answers.copy())), dtype=np.int64)
        return float(np.sum(self._vocabulary.rows_of(shown) != PAD_ROW) / len(self._vocabulary))
