"""LightGCN: layers of the paper's matrix, gradients through them, and users who find what they like."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.sparse
import torch

from features.bundle import open_bundle
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.evaluation import judge_bundle
from training.models.lightgcn import LightgcnConfig, VectorGraph, with_trend
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
WATCHED = np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32)  # nobody watched the last video


def by_definition(users: np.ndarray, videos: np.ndarray, num_layers: int) -> np.ndarray:
    """Equations 3 and 4 with the whole adjacency matrix."""
    adjacency = np.block([[np.zeros((3, 3)), WATCHED], [WATCHED.T, np.zeros((3, 3))]])
    degrees = adjacency.sum(axis=1)
    scale = np.array([degree**-0.5 if degree else 0.0 for degree in degrees])
    step = scale[:, None] * adjacency * scale
    layers = [np.concatenate([users, videos])]
    for _ in range(num_layers):
        layers.append(step @ layers[-1])
    return np.mean(layers, axis=0)


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_vectors_are_the_mean_of_all_layers(num_layers: int) -> None:
    config = LightgcnConfig(dim=4, num_layers=num_layers, loss="bpr")
    graph = VectorGraph(scipy.sparse.csr_array(WATCHED), config)
    found = torch.cat(graph.final()).detach().numpy()
    expected = by_definition(graph.users.detach().numpy(), graph.videos.detach().numpy(), num_layers)
    assert found == pytest.approx(expected, abs=1e-6)


def test_gradients_pass_through_the_layers() -> None:
    graph = VectorGraph(scipy.sparse.csr_array(WATCHED), LightgcnConfig(dim=2, num_layers=2, loss="bpr"))
    users, videos = graph.final()
    (users[0, 0] + 2 * videos[1, 1]).backward()

    def value(part: torch.Tensor, place: tuple[int, int], change: float) -> float:
        with torch.no_grad():
            part[place] += change
            users, videos = graph.final()
            part[place] -= change
        return float(users[0, 0] + 2 * videos[1, 1])

    for part in (graph.users, graph.videos):
        assert part.grad is not None
        for place in np.ndindex(3, 2):
            slope = (value(part, place, 0.1) - value(part, place, -0.1)) / 0.2  # linear, so exact
            assert float(part.grad[place]) == pytest.approx(slope, abs=1e-5)


def test_the_trend_adds_its_log_to_the_logits() -> None:
    users, videos = np.ones((1, 2), dtype=np.float32), np.zeros((2, 2), dtype=np.float32)
    users, videos = with_trend(users, videos, np.array([2.0, 0.5]), temperature=0.1)
    assert (users @ videos.T / 0.1)[0] == pytest.approx(np.log([2, 0.5]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides", [[], ["num_negatives=50"], ["loss=bpr", "learning_rate=0.05", "l2=1e-4"]]
)
def test_planted_interests_are_found(
    tmp_path_factory: pytest.TempPathFactory, overrides: Sequence[str]
) -> None:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    planted_log(settings, noise=0.1, num_users=100)
    found = {}
    for model, more in (
        ("lightgcn", ["dim=16", "batch_size=32", *overrides]),
        ("popularity", ["window_days=none"]),
    ):
        path = train(model, at(7), settings=settings, overrides=more, training=UNTRACKED)
        found[model] = judge_bundle(path, at(7), at(8), settings=settings).metrics["recall_at_20"] or 0
    assert found["lightgcn"] > 1.5 * found["popularity"]


def test_every_user_with_a_watch_is_stored(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    planted_log(settings, noise=0.1, num_users=20)
    overrides = ["dim=4", "epochs=1", "trend.power=0.5"]
    bundle = open_bundle(train("lightgcn", at(7), settings=settings, overrides=overrides, training=UNTRACKED))
    assert (bundle.manifest.kind, bundle.manifest.num_interests, bundle.manifest.dim) == (
        "stored_interests", 1, 5,
    )  # fmt: skip
    assert bundle.user_interests["user_id"].to_pylist() == list(range(20))
