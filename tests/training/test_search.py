"""Exact search finds what a full sort finds, whatever the size of its chunks."""

import numpy as np
import pytest

import training.search
from training.search import search

# east, north, between
VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
NOTHING = np.empty(0, dtype=np.int64)


def test_the_nearest_come_first() -> None:
    east_and_north = np.eye(2, dtype=np.float32)
    places, scores = search(east_and_north, VECTORS, 2, hidden=(NOTHING, NOTHING))
    assert places.tolist() == [[0, 2], [1, 2]]
    assert scores.tolist() == [pytest.approx([1, 0.6]), pytest.approx([1, 0.8])]


def test_each_query_hides_its_own() -> None:
    east_twice = np.array([[1, 0], [1, 0]], dtype=np.float32)
    places, _ = search(east_twice, VECTORS, 3, hidden=(np.array([0, 1, 1]), np.array([0, 2, 1])))
    assert places.tolist() == [[2, 1, -1], [0, -1, -1]]


def test_no_queries_find_nothing() -> None:
    places, scores = search(np.empty((0, 2), dtype=np.float32), VECTORS, 2, hidden=(NOTHING, NOTHING))
    assert places.shape == scores.shape == (0, 2)


def test_chunks_change_nothing() -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(training.search.SCORES_PER_CHUNK // 40, 4)).astype(np.float32)
    queries = random.normal(size=(90, 4)).astype(np.float32)  # 40, 40 and 10
    rows = np.sort(random.integers(90, size=500))
    hidden = random.integers(len(vectors), size=500)
    places, _ = search(queries, vectors, 5, hidden=(rows, hidden))
    for row in (0, 39, 40, 89):
        scores = vectors @ queries[row]
        scores[hidden[rows == row]] = -np.inf
        assert set(places[row].tolist()) == set(np.argsort(-scores)[:5].tolist())
