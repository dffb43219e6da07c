"""Pooling of a history and of all its prefixes."""

import math

import pytest
import torch

from training.pooling import Norm, pool, pool_prefixes


@pytest.mark.parametrize("norm", ["sum", "length"])
def test_every_prefix_is_what_pooling_that_prefix_alone_gives(norm: Norm) -> None:
    torch.manual_seed(0)
    tokens, logits = torch.randn(2, 5, 3), torch.randn(2, 5, 4)
    real = torch.tensor([[True] * 5, [False, False, True, True, True]])
    prefixes = pool_prefixes(tokens, logits, real, norm)
    for end in range(1, 6):
        alone, _ = pool(tokens[:, :end], logits[:, :end], real[:, :end], norm)
        assert torch.allclose(prefixes[:, end - 1], alone, atol=1e-5)


def test_weights_add_up_to_one_or_have_length_one() -> None:
    tokens = torch.tensor([[[3.0], [9.0]]])
    logits = torch.tensor([[[0.0], [math.log(3)]]])
    real = torch.ones(1, 2, dtype=torch.bool)
    # Weights 1 and 3: as shares 1/4 and 3/4; of length one, 1 and 3 over sqrt(10).
    assert pool(tokens, logits, real)[0].item() == pytest.approx(0.25 * 3 + 0.75 * 9)
    assert pool(tokens, logits, real, "length")[0].item() == pytest.approx((3 + 27) / math.sqrt(10))


def test_padding_has_no_weight_and_an_empty_history_gives_zeros() -> None:
    tokens, logits = torch.ones(2, 2, 1), torch.tensor([[[100.0], [0.0]]] * 2)
    real = torch.tensor([[False, True], [False, False]])
    pooled, weights = pool(tokens, logits, real)
    assert weights[0].flatten().tolist() == [0.0, 1.0]
    assert pooled.flatten().tolist() == [1.0, 0.0]
