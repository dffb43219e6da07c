"""EASE: the linear item-to-item model whose weights have a closed form.

Harald Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, eq. 8: B = I - P diag(1 / P_jj),
P = (X'X + l2 I)^-1. Here what is predicted is weighted otherwise than what predicts it, so B = P X'Y, and its
diagonal is set to zero afterwards.

Shape letters: V videos of the vocabulary.
"""

import numpy as np
import scipy.linalg
from pydantic import PositiveFloat, PositiveInt

from features.errors import BadInputError
from training.dataset import WatchLog
from training.item_graph import Feedback, NeighboursConfig, neighbours_table, trained_neighbours
from training.models import Run, Trained

MAX_VIDEOS = 40_000
"""The inverse of a matrix of this size takes 13 GB and an hour; it grows with the cube."""


class EaseConfig(NeighboursConfig):
    """EASE alone has a penalty, and weights below zero that matter: fewer neighbours cost recall."""

    num_neighbours: PositiveInt = 1000
    """Weights kept per video."""
    l2: PositiveFloat = 700.0
    """Ridge penalty, in users."""


Config = EaseConfig


def train(config: EaseConfig, run: Run) -> Trained:
    """Solve for the weights of all watches before ``run.until``.

    Raises:
        BadInputError: the vocabulary is too large for a dense inverse.
    """
    log = WatchLog(run.lake, run.until, config.rule)
    feedback = Feedback.read(log, config, run.until)
    require_small(len(feedback.vocabulary))
    weights = ease_weights(feedback, config.l2)
    table = neighbours_table(
        lambda rows: weights[rows], feedback.vocabulary, feedback.trend, config.num_neighbours
    )
    return trained_neighbours(log, feedback, table)


def require_small(num_videos: int) -> None:
    """Raises ``BadInputError`` for more than ``MAX_VIDEOS``."""
    if num_videos > MAX_VIDEOS:
        raise BadInputError(
            f"EASE inverts a matrix of all {num_videos} videos; {MAX_VIDEOS} is the most: "
            "raise min_watches, or train item_cf"
        )


def ease_weights(feedback: Feedback, l2: float) -> np.ndarray:
    """(V, V): how much a watch of the row's video speaks for the column's."""
    gram = (feedback.history.T @ feedback.history).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += l2
    cross = (feedback.history.T @ feedback.targets).toarray().astype(np.float32)
    factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    weights = scipy.linalg.cho_solve(factor, cross, overwrite_b=True, check_finite=False)
    weights[np.diag_indices_from(weights)] = 0
    return np.asarray(weights)
