"""Item-based collaborative filtering: videos are near when the same users watch them.

    W[i, j] = sum_u  f_u x_ui y_uj  /  (sum_u f_u x_ui^2 * sum_u f_u y_uj^2) ** norm

x and y are the weights of user u's watches as reasons and as targets. A user of many watches says less about
each: f_u = 1 / log(1 + n_u) (Breese, Heckerman and Kadie, UAI 1998, apply the same idea to items), or
(log V - log(1 + n_u)) ** 2, the tf-idf of the library ``implicit`` with users as words. ``norm`` .5 is the
cosine (Sarwar et al., WWW 2001); smaller favours popular videos. Where x = y, the weights are those of
``implicit``: its ``CosineRecommender`` and, for x of 0 and 1, its ``TFIDFRecommender``.

Shape letters: U users, V videos of the vocabulary.
"""

from typing import Literal

import numpy as np
import scipy.sparse
from jaxtyping import Float64

from training.config import Share
from training.dataset import WatchLog
from training.item_graph import Feedback, NeighboursConfig, neighbours_table, trained_neighbours
from training.models import Run, Trained


class ItemCfConfig(NeighboursConfig):
    """What item-based CF is told."""

    user_frequency: Literal["ignore", "inverse_log", "tf_idf"] = "inverse_log"
    """How much less a user of many watches says about each."""
    norm: Share = 0.5
    """Exponent of the norms: 0 counts, .5 cosine."""


Config = ItemCfConfig


def train(config: ItemCfConfig, run: Run) -> Trained:
    """Count what is watched together before ``run.until``."""
    log = WatchLog(run.lake, run.until, config.rule)
    feedback = Feedback.read(log, config, run.until)
    history, targets = normalised(feedback, config)
    table = neighbours_table(
        lambda rows: (history[:, rows].T @ targets).toarray(),
        feedback.vocabulary,
        feedback.trend,
        config.num_neighbours,
    )
    return trained_neighbours(log, feedback, table)


def normalised(
    feedback: Feedback, config: ItemCfConfig
) -> tuple[scipy.sparse.csc_array, scipy.sparse.csr_array]:
    """Two (U, V) matrices; the product of the first, transposed, with the second is W."""
    weights = scipy.sparse.diags_array(np.sqrt(user_weights(feedback.history, config)))
    history, targets = weights @ feedback.history, weights @ feedback.targets
    return (_scaled(history, config.norm).tocsc(), _scaled(targets, config.norm).tocsr())


def user_weights(history: scipy.sparse.csr_array, config: ItemCfConfig) -> Float64[np.ndarray, " U"]:
    """f_u of every user."""
    num_watches = np.maximum(np.diff(history.indptr), 1)
    if config.user_frequency == "ignore":
        return np.ones(len(num_watches))
    if config.user_frequency == "inverse_log":
        return 1 / np.log1p(num_watches)
    return np.square(np.log(history.shape[1]) - np.log1p(num_watches))


def _scaled(matrix: scipy.sparse.csr_array, norm: float) -> scipy.sparse.csr_array:
    squares = np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()
    factors = np.where(squares > 0, np.maximum(squares, np.finfo(float).tiny) ** -norm, 0)
    return matrix @ scipy.sparse.diags_array(factors)
