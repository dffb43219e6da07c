"""Sums of weights over literal histories; every score is worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import NEIGHBOURS_SCHEMA
from features.history import History
from features.neighbours import Neighbours
from features.positives import Action
from features.vocabulary import Vocabulary

PLAYED, POSITIVE, DISLIKED = 0, int(Action.POSITIVE), int(Action.DISLIKED)
WEIGHTS = {(1, 2): 1.0, (1, 3): 0.5, (1, 4): -1.0, (5, 3): 0.25, (5, 4): 0.25}
NOTHING = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


@pytest.fixture
def neighbours() -> Neighbours:
    """Videos 4, 3, 2, 1, 5 by popularity; a play that is no positive weighs half."""
    columns = [[a for a, _ in WEIGHTS], [b for _, b in WEIGHTS], list(WEIGHTS.values())]
    table = pa.table(columns, schema=NEIGHBOURS_SCHEMA)
    return Neighbours(table, Vocabulary(np.array([4, 3, 2, 1, 5])), plain_weight=0.5)


def history(*watched: tuple[int, int]) -> History:
    return History([video for video, _ in watched], [0] * len(watched), [action for _, action in watched])


@pytest.mark.parametrize(
    ("watched", "expected"),
    [
        ([(1, POSITIVE)], {2: 1.0, 3: 0.5}),  # 4 is spoken against
        ([(1, PLAYED)], {2: 0.5, 3: 0.25}),
        ([(1, PLAYED), (5, POSITIVE)], {3: 0.5, 2: 0.5}),  # .25 + .25; of equal ones the popular one first
        ([(1, POSITIVE), (1, PLAYED)], {2: 1.0, 3: 0.5}),  # the larger weight of a video watched twice
        ([(1, DISLIKED), (5, POSITIVE)], {4: 0.25, 3: 0.25}),
        ([(99, POSITIVE)], {}),
        ([], {}),
    ],
)
def test_a_video_is_found_if_the_history_speaks_for_it(
    neighbours: Neighbours, watched: list[tuple[int, int]], expected: dict[int, float]
) -> None:
    found = neighbours.find([history(*watched)], NOTHING, 5)
    num = len(expected)
    assert found.video_ids[0, :num].tolist() == list(expected)
    assert found.scores[0, :num].tolist() == list(expected.values())
    assert (found.video_ids[0, num:] == -1).all()
    assert (found.interests == -1).all()


def test_what_was_seen_is_not_found_and_the_limit_holds(neighbours: Neighbours) -> None:
    seen = (np.array([0]), np.array([2]))  # the first user saw video 2
    histories = [history((1, POSITIVE)), history((1, POSITIVE))]
    assert neighbours.find(histories, seen, 1).video_ids.tolist() == [[3], [2]]


def test_users_together_get_what_each_gets_alone(neighbours: Neighbours) -> None:
    users = [history((1, POSITIVE), (5, PLAYED)), history(), history((5, POSITIVE))]
    together = neighbours.find(users, NOTHING, 4)
    for place, one in enumerate(users):
        alone = neighbours.find([one], NOTHING, 4)
        assert together.video_ids[place].tolist() == alone.video_ids[0].tolist()
        assert together.scores[place].tolist() == alone.scores[0].tolist()


def test_a_history_is_known_by_one_video_of_it(neighbours: Neighbours) -> None:
    assert neighbours.knows(history((99, POSITIVE), (5, DISLIKED)))
    assert not neighbours.knows(history((99, POSITIVE)))
