"""EASE's weights are the closed form, and solve the ridge regression that they stand for."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from features.bundle import open_bundle
from features.errors import BadInputError
from features.settings import Settings
from features.vocabulary import Vocabulary
from tests.training.logs import at, video, watch, write_log
from training.item_graph import Feedback
from training.models import ease
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
X = np.array([[1, 1, 0], [1, 0.5, 0], [0, 1, 1], [1, 1, 1]], dtype=np.float32)
Y = np.array([[1, 0.3, 0], [1, 0, 0], [0, 1, 1], [1, 1, 0.3]], dtype=np.float32)


def feedback(history: np.ndarray, targets: np.ndarray) -> Feedback:
    sparse = [scipy.sparse.csr_array(matrix) for matrix in (history, targets)]
    return Feedback(
        Vocabulary(np.array([7, 8, 9])), *sparse, trend=np.ones(3), user_ids=np.arange(len(history))
    )


def test_weights_are_the_ridge_solution_without_its_diagonal() -> None:
    weights = ease.ease_weights(feedback(X, Y), l2=2.0)
    solved = np.linalg.lstsq(
        np.vstack([X, np.sqrt(2.0) * np.eye(3)]), np.vstack([Y, np.zeros((3, 3))]), rcond=None
    )[0]
    np.fill_diagonal(solved, 0)
    assert weights == pytest.approx(solved, abs=1e-5)


def test_what_is_watched_together_is_near(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    rows = [(u, v) for u in range(5) for v in (1, 2)] + [(u, v) for u in range(5, 10) for v in (3, 4)]
    write_log(settings, [watch(u, v, 0.1 + v / 100) for u, v in rows], [video(v) for v in range(1, 5)])
    path = train("ease", at(1), settings=settings, overrides=["l2=1"], training=UNTRACKED)
    nearest: dict[int, int] = {}
    for row in open_bundle(path).neighbours.to_pylist():
        nearest.setdefault(row["video_id"], row["neighbour_id"])
    assert nearest == {1: 2, 2: 1, 3: 4, 4: 3}


def test_a_catalogue_too_large_for_a_dense_inverse_is_refused() -> None:
    with pytest.raises(BadInputError, match="raise min_watches, or train item_cf"):
        ease.require_small(ease.MAX_VIDEOS + 1)
