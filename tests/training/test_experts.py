"""Experts under gates, and the measure of how unevenly they are used."""

import pytest
import torch

from training.experts import Experts, expert_imbalance


def experts(*, num_experts: int = 4, num_interests: int = 2) -> Experts:
    torch.manual_seed(7)
    return Experts(
        3, 8, num_experts=num_experts, num_hidden=4, num_interests=num_interests, dropout=0.0
    ).eval()


def test_each_interest_is_the_mean_of_the_experts_under_its_own_gate() -> None:
    layer = experts()
    with torch.no_grad():
        layer.blocks.zero_()
        layer.offsets.copy_(torch.eye(4, 8))  # expert e says e_e, whatever the input
    outputs, gates = layer(torch.randn(5, 3, 8))
    assert outputs.shape == (5, 2, 8)
    assert gates.shape == (5, 2, 4)
    torch.testing.assert_close(outputs[:, :, :4], gates)
    torch.testing.assert_close(gates.sum(dim=2), torch.ones(5, 2))


def test_fresh_gates_deal_the_experts_out_in_turn() -> None:
    gates = experts()(torch.zeros(1, 3, 8))[1][0]
    assert (gates > 0.4).int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    gates = experts(num_experts=2, num_interests=4)(torch.zeros(1, 3, 8))[1][0]
    assert (gates > 0.5).int().tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]


def test_hidden_units_belong_to_one_expert_each() -> None:
    layer = experts()
    with torch.no_grad():
        layer.to_output.copy_(torch.randn(4, 4, 8))
    blocks = torch.randn(3, 3, 8)
    before, _ = layer(blocks)
    with torch.no_grad():
        layer.to_hidden.weight[4:8] = 0  # the units of expert 1
        layer.to_hidden.bias[4:8] = 0
        layer.to_output[1] = 9.0
    outputs = torch.einsum("pd,pd->d", blocks[0], layer.blocks[1]) + layer.offsets[1]
    with torch.no_grad():
        layer.to_gates.bias[1::4] += 100.0  # both gates choose expert 1
    torch.testing.assert_close(layer(blocks)[0][0, 0], outputs)
    assert not torch.allclose(before[0, 0], outputs)


def test_importance_is_summed_over_queries_and_interests() -> None:
    gates = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.0, 1.0]]])
    # The first two queries count: importance 3 and 1, mean 2, variance 1; squared coefficient 1/4.
    asked = torch.tensor([True, True, False])
    assert expert_imbalance(gates, asked).item() == pytest.approx(1 / 4)


def test_even_use_costs_nothing_and_one_expert_for_everything_costs_the_most() -> None:
    asked = torch.ones(1, dtype=torch.bool)
    apart = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    assert expert_imbalance(apart, asked).item() == 0.0, "each interest may keep to one expert"
    one = torch.tensor([[[1.0, 0.0, 0.0]] * 3])
    assert expert_imbalance(one, asked).item() == pytest.approx(3 - 1)
    assert expert_imbalance(one, ~asked).item() == 0.0
