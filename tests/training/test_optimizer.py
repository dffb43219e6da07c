"""Deferred Adam is Adam, for the cost of the rows that were touched."""

import pytest
import torch

from training.config import InterestConfig
from training.optimizer import AverageWeights, DeferredAdam, Optimizer, schedule
from training.tables import RowTable

NUM_ROWS, DIM, RATE = 6, 3, 0.05
TOUCHED = [[0, 1, 2], [0, 3], [0, 1], [0, 4, 5], [0, 2], [0, 1, 5], [0, 3]] * 4


def gradients(step: int, rows: list[int]) -> torch.Tensor:
    """One gradient per row, different at every step."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(NUM_ROWS, DIM, generator=generator)[rows]


def test_rows_end_where_dense_adam_takes_them() -> None:
    torch.manual_seed(0)
    table = RowTable(NUM_ROWS, DIM, 1.0)
    dense = torch.nn.Parameter(table.weight.detach().clone())
    adam, deferred = torch.optim.Adam([dense], lr=RATE), DeferredAdam([table])
    for step, rows in enumerate(TOUCHED):
        dense.grad = torch.zeros(NUM_ROWS, DIM)
        dense.grad[rows] = gradients(step, rows)
        adam.step()
        deferred.touch(torch.tensor(rows), RATE)
        (table(torch.tensor(rows)) * gradients(step, rows)).sum().backward()
        deferred.step(RATE)
    deferred.flush(RATE)
    moved = (table.weight - dense).abs().max() / (28 * RATE)
    assert moved < 0.02, "of the longest way that a weight can go"


def test_momentum_alone_moves_a_row_that_is_not_touched() -> None:
    table = RowTable(2, 1, 0.0)
    deferred = DeferredAdam([table])
    for rows in ([0, 1], [0], [0]):
        deferred.touch(torch.tensor(rows), RATE)
        table(torch.tensor(rows)).sum().backward()
        deferred.step(RATE)
    before = table.weight[1].item()
    deferred.flush(RATE)
    assert before == pytest.approx(-RATE, rel=1e-3)
    assert table.weight[1].item() < before - 0.5 * RATE


def test_untouched_rows_keep_their_start() -> None:
    table = RowTable(NUM_ROWS, DIM, 1.0)
    start = table.weight[4].clone()
    deferred = DeferredAdam([table])
    deferred.touch(torch.tensor([0, 1]), RATE)
    table(torch.tensor([1])).sum().backward()
    deferred.step(RATE)
    deferred.flush(RATE)
    assert torch.equal(table.weight[4], start)


class Small(torch.nn.Module):
    """A table and a dense weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = RowTable(NUM_ROWS, DIM, 1.0)
        self.dense = torch.nn.Linear(DIM, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.dense(self.table(rows)).square().sum()


def steps(network: Small, optimizer: Optimizer, num: int) -> None:
    for _ in range(num):
        rows = torch.tensor([0, 2, 3])
        optimizer.touch(rows)
        network(rows).backward()
        optimizer.step()


def optimizer_of(network: Small, **changes: float) -> Optimizer:
    config = InterestConfig.model_validate({"learning_rate": 0.01, "warmup_steps": 0} | changes)
    return Optimizer(network, config, schedule(config, 1.0, 100))


def test_a_restored_optimizer_takes_the_same_steps() -> None:
    network, other = Small(), Small()
    first = optimizer_of(network)
    steps(network, first, 5)
    second = optimizer_of(other)
    other.load_state_dict(network.state_dict())
    second.load(first.state())
    steps(network, first, 5)
    steps(other, second, 5)
    for name, part in network.state_dict().items():
        assert torch.equal(part, other.state_dict()[name])


def test_all_gradients_are_shortened_together() -> None:
    network = Small()
    optimizer = optimizer_of(network, clip_norm=1e-3)
    rows = torch.tensor([0, 2, 3])
    optimizer.touch(rows)
    network(rows).backward()
    parts = optimizer.gradients()
    optimizer.step()
    length = torch.stack([part.norm() for part in parts]).norm().item()
    assert length == pytest.approx(1e-3, rel=1e-3)


def test_the_rate_rises_stays_and_falls_to_zero() -> None:
    config = InterestConfig(warmup_steps=10)
    factor = schedule(config, 0.5, 100)
    assert factor(0) == pytest.approx(0.05)
    assert factor(20) == factor(30) == 0.5
    assert factor(65) == pytest.approx(0.25)  # half way of the cosine
    assert factor(100) == 0.0


def test_the_average_of_weights_lags_behind() -> None:
    network = Small()
    average = AverageWeights(network, 0.9)
    start = network.dense.weight.detach().clone()
    with torch.no_grad():
        network.dense.weight.add_(1.0)
    average.add(network)
    kept = 2 / 11  # (1 + 1) / (10 + 1), still below the decay
    assert torch.allclose(average.state["dense.weight"], start + 1 - kept)
