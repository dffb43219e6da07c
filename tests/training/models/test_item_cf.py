"""Item-based CF: cosine of the columns, users of many watches saying less; the same as ``implicit``."""

import numpy as np
import pytest
import scipy.sparse
from implicit.nearest_neighbours import CosineRecommender, ItemItemRecommender, TFIDFRecommender

from features.vocabulary import Vocabulary
from training.item_graph import Feedback
from training.models.item_cf import ItemCfConfig, normalised

X = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=np.float32)


def weights(config: ItemCfConfig, matrix: np.ndarray = X) -> np.ndarray:
    sparse = scipy.sparse.csr_array(matrix)
    history, targets = normalised(
        Feedback(
            Vocabulary(np.arange(sparse.shape[1])),
            sparse,
            sparse,
            np.ones(sparse.shape[1]),
            np.arange(len(matrix)),
        ),
        config,
    )
    return (history.T @ targets).toarray()


def test_weights_are_cosines() -> None:
    columns = X / np.linalg.norm(X, axis=0)
    assert weights(ItemCfConfig(user_frequency="ignore")) == pytest.approx(columns.T @ columns)


def test_a_user_of_many_watches_says_less() -> None:
    says = 1 / np.log1p(np.array([2, 1, 2, 3]))
    shared = (X * says[:, None]).T @ X
    norms = np.sqrt(np.diag(shared))
    assert weights(ItemCfConfig()) == pytest.approx(shared / np.outer(norms, norms))


def test_norm_zero_counts() -> None:
    assert weights(ItemCfConfig(user_frequency="ignore", norm=0)) == pytest.approx(X.T @ X)


@pytest.mark.parametrize(
    ("user_frequency", "values", "theirs"),
    [("ignore", [0.3, 1.0], CosineRecommender(K=40)), ("tf_idf", [1.0], TFIDFRecommender(K=40))],
)
def test_weights_are_those_of_implicit(
    user_frequency: str, values: list[float], theirs: ItemItemRecommender
) -> None:
    random = np.random.default_rng(5)
    shape = (200, 40)
    matrix = (random.random(shape) < 0.1) * random.choice(values, shape)
    matrix[0] = values[0]  # no video without a watch: the library would divide by zero
    theirs.fit(scipy.sparse.csr_matrix(matrix), show_progress=False)
    ours = weights(ItemCfConfig.model_validate({"user_frequency": user_frequency}), matrix)
    assert ours == pytest.approx(theirs.similarity.toarray(), abs=1e-6)
