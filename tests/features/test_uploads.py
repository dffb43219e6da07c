"""Videos of followed uploaders over a literal table; every list is worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import UPLOADS_SCHEMA
from features.uploads import Uploads
from features.vocabulary import Vocabulary

ROWS = [(7, 1, 0.5), (7, 2, 1.0), (8, 3, 0.5), (9, 4, 0.25)]
NOTHING = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


@pytest.fixture
def uploads() -> Uploads:
    """Videos 3, 1, 2, 4, 5 by popularity; nobody uploaded 5."""
    table = pa.table(list(map(list, zip(*ROWS, strict=True))), schema=UPLOADS_SCHEMA)
    return Uploads(table, Vocabulary(np.array([3, 1, 2, 4, 5])))


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


@pytest.mark.parametrize(
    ("followed", "expected"),
    [
        (ids(7), {2: 1.0, 1: 0.5}),
        (ids(9, 7, 8), {2: 1.0, 3: 0.5, 1: 0.5, 4: 0.25}),  # of equal ones the popular one first
        (ids(7, 7, 99, 99), {2: 1.0, 1: 0.5}),  # twice counts once
        (ids(99), {}),
        (ids(), {}),
    ],
)
def test_the_videos_of_all_followed_uploaders_compete(
    uploads: Uploads, followed: np.ndarray, expected: dict[int, float]
) -> None:
    found = uploads.find([followed], NOTHING, 5)
    assert found.video_ids[0, : len(expected)].tolist() == list(expected)
    assert found.scores[0, : len(expected)].tolist() == list(expected.values())
    assert (found.video_ids[0, len(expected) :] == -1).all()
    assert uploads.knows(followed) == bool(expected)


def test_users_together_get_what_each_gets_alone_without_what_was_seen(uploads: Uploads) -> None:
    seen = (np.array([0]), np.array([2]))  # the first user saw video 2
    found = uploads.find([ids(7), ids(), ids(7, 9)], seen, 2)
    assert found.video_ids.tolist() == [[1, -1], [-1, -1], [2, 1]]
