"""Swing equals its definition, summed over pairs of users and videos one by one."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from features.bundle import open_bundle
from features.settings import Settings
from features.vocabulary import Vocabulary
from tests.training.logs import at, video, watch, write_log
from training.item_graph import Feedback
from training.models.swing import Swings
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")


def feedback(history: np.ndarray, targets: np.ndarray) -> Feedback:
    sparse = [scipy.sparse.csr_array(matrix.astype(np.float32)) for matrix in (history, targets)]
    num_videos = history.shape[1]
    return Feedback(
        Vocabulary(np.arange(num_videos)),
        *sparse,
        trend=np.ones(num_videos),
        user_ids=np.arange(len(history)),
    )


def by_definition(x: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """The formula at the head of ``swing.py``, term by term."""
    sets = [set(np.flatnonzero(row)) for row in x + y]
    weights = np.zeros((x.shape[1], x.shape[1]))
    for u, v in combinations(range(len(x)), 2):
        shared = sets[u] & sets[v]
        says = 1 / np.sqrt(max(len(sets[u]), 1) * max(len(sets[v]), 1)) / (alpha + len(shared))
        for i in shared:
            for j in shared:
                weights[i, j] += says * x[u, i] * x[v, i] * y[u, j] * y[v, j]
    return weights


@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_weights_are_those_of_the_definition(alpha: float) -> None:
    random = np.random.default_rng(3)
    watched = random.random((30, 12)) < 0.3
    x, y = (watched * random.choice([0, 0.5, 1], watched.shape) for _ in range(2))
    swings = Swings.of(feedback(x, y), alpha)
    others = ~np.eye(12, dtype=bool)  # no video suggests itself
    expected = by_definition(x, y, alpha) * others
    assert swings.weights(slice(0, 12)) * others == pytest.approx(expected, rel=1e-5)
    assert swings.weights(slice(5, 9)) * others[5:9] == pytest.approx(expected[5:9], rel=1e-5), "a strip"
    assert swings.diagonal() == pytest.approx(np.diag(by_definition(x, y, alpha)))


def test_pairs_of_users_who_share_little_say_more(tmp_path: Path) -> None:
    # Users 10 and 11 share the videos 1 and 2 and nothing else; 12 and 13 share 1, 3 and 4.
    pairs = [(u, v) for u in (10, 11) for v in (1, 2)] + [(u, v) for u in (12, 13) for v in (1, 3, 4)]
    settings = Settings(home=tmp_path)
    write_log(settings, [watch(u, v, 0.1 + v / 100) for u, v in pairs], [video(v) for v in (1, 2, 3, 4)])
    near = {}
    for norm in ("0", "0.5"):
        path = train("swing", at(1), settings=settings, overrides=[f"norm={norm}"], training=UNTRACKED)
        rows = open_bundle(path).neighbours.to_pylist()
        near[norm] = {row["neighbour_id"]: row["weight"] for row in rows if row["video_id"] == 1}
    two, three = 1 / 2 / (1 + 2), 1 / 3 / (1 + 3)  # w_u w_v / (alpha + shared)
    assert near["0"] == pytest.approx({2: two, 3: three, 4: three})
    # All four users watched 1: the two pairs above, and four of one of each, who share nothing else.
    all_pairs = two + three + 4 / 6**0.5 / (1 + 1)
    cosines = {2: two / (two * all_pairs) ** 0.5, 3: three / (three * all_pairs) ** 0.5}
    assert near["0.5"] == pytest.approx(cosines | {4: cosines[3]})
