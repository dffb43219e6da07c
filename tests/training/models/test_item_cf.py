"""Item-based CF: cosine of the columns, users of many watches saying less."""

import numpy as np
import pytest
import scipy.sparse

from features.vocabulary import Vocabulary
from training.item_graph import Feedback
from training.models.item_cf import ItemCfConfig, normalised

X = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=np.float32)


def weights(config: ItemCfConfig) -> np.ndarray:
    sparse = scipy.sparse.csr_array(X)
    history, targets = normalised(
        Feedback(Vocabulary(np.array([7, 8, 9])), sparse, sparse, np.ones(3)), config
    )
    return (history.T @ targets).toarray()


def test_weights_are_cosines() -> None:
    columns = X / np.linalg.norm(X, axis=0)
    assert weights(ItemCfConfig(inverse_user_frequency=False)) == pytest.approx(columns.T @ columns)


def test_a_user_of_many_watches_says_less() -> None:
    says = 1 / np.log1p(np.array([2, 1, 2, 3]))
    shared = (X * says[:, None]).T @ X
    norms = np.sqrt(np.diag(shared))
    assert weights(ItemCfConfig()) == pytest.approx(shared / np.outer(norms, norms))


def test_norm_zero_counts() -> None:
    assert weights(ItemCfConfig(inverse_user_frequency=False, norm=0)) == pytest.approx(X.T @ X)
