"""Sessions hold what counts, and end with a user or a pause."""

import numpy as np
import pytest

from features.positives import Action
from features.vocabulary import Vocabulary
from training.dataset import Sequences
from training.sessions import Sessions, SessionsConfig

VOCABULARY = Vocabulary(np.array([7, 8, 9]))  # rows 1, 2, 3
MINUTE = 60_000_000
SEQUENCES = Sequences(
    user_ids=np.array([1, 2, 3]),
    offsets=np.array([0, 5, 7, 8]),
    video_ids=np.array([7, 8, 404, 9, 7, 9, 8, 8]),
    actions=np.array([Action.POSITIVE, 0, Action.POSITIVE, Action.POSITIVE, 1, 1, Action.DISLIKED, 0]),
    times_us=np.array([0, 1, 2, 40, 41, 41, 42, 50]) * MINUTE,
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"plain_watches": False}, [[1, 3, 1], [3]]),
        ({}, [[1, 2, 3, 1], [3], [2]]),
        ({"session_gap_minutes": 30}, [[1, 2], [3, 1], [3], [2]]),
        ({"plain_watches": False, "session_gap_minutes": 40}, [[1, 3, 1], [3]]),
    ],
)
def test_sessions_end_with_the_user_or_a_pause(
    settings: dict[str, object], expected: list[list[int]]
) -> None:
    sessions = Sessions.of(SEQUENCES, VOCABULARY, SessionsConfig.model_validate(settings))
    found = [sessions.rows[a:b].tolist() for a, b in zip(sessions.bounds, sessions.bounds[1:], strict=False)]
    assert found == expected
    assert sessions.numbers().tolist() == [n for n, session in enumerate(expected) for _ in session]
