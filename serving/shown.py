"""How much of a catalogue the newest answers have shown: one number per video, exact.

Shape letters: V videos of the catalogue, N videos of one answer.
"""

import threading
from typing import Final

import numpy as np
from jaxtyping import Int64

WINDOW: Final = 1000
"""Answers that count."""


class ShownVideos:
    """Remembers for every video in which answer it was shown last.

    Args:
        num_videos: V.
        window: answers that count, the newest.
    """

    def __init__(self, num_videos: int, window: int = WINDOW) -> None:
        self._last = np.full(num_videos, -window - 1, dtype=np.int64)
        self._window = window
        self._num_answers = 0
        self._lock = threading.Lock()

    def note(self, places: Int64[np.ndarray, " N"]) -> None:
        """Note one answer by the places of its videos in the catalogue, from 0."""
        with self._lock:
            self._last[places] = self._num_answers
            self._num_answers += 1

    @property
    def coverage(self) -> float:
        """Share of the videos that the newest answers have shown; 0 of an empty catalogue."""
        if not len(self._last):
            return 0.0
        return float(np.mean(self._last >= self._num_answers - self._window))
