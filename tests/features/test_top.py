"""The best of a row, against sorting the whole row."""

import numpy as np
import pytest

from features.top import best_of


def test_best_first_and_ties_by_place() -> None:
    places, scores = best_of(np.array([[0.1, 0.9, 0.5, 0.9], [4.0, 3.0, 2.0, 1.0]]), 3)
    assert places.tolist() == [[1, 3, 2], [0, 1, 2]]
    assert scores.tolist() == [[0.9, 0.9, 0.5], [4.0, 3.0, 2.0]]


def test_what_has_no_score_is_not_found() -> None:
    scores = np.array([[np.nan, -np.inf, -3.0, np.nan], [-np.inf] * 4, [np.nan] * 4])
    places, values = best_of(scores, 2)
    assert places.tolist() == [[2, -1], [-1, -1], [-1, -1]]
    assert values[0, 0] == -3.0
    assert np.isneginf(values[places < 0]).all()


def test_no_more_than_there_is() -> None:
    assert best_of(np.array([[1.0, 2.0]]), 5)[0].tolist() == [[1, 0]]
    assert best_of(np.empty((3, 0)), 5)[0].shape == (3, 0)
    assert best_of(np.empty((0, 4)), 2)[0].shape == (0, 2)


@pytest.mark.parametrize("num_places", [7, 64, 1000, 1003])
@pytest.mark.parametrize("num_values", [3, 50, 10**9])
def test_the_same_as_sorting_all(num_places: int, num_values: int) -> None:
    random = np.random.default_rng(num_places)
    scores = random.integers(num_values, size=(20, num_places)).astype(np.float32)  # few values: many ties
    for depth in (1, 7, 60):
        order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        places, values = best_of(scores, depth)
        assert places.tolist() == order.tolist()
        assert values.tolist() == np.take_along_axis(scores, order, axis=1).tolist()
