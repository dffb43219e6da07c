"""The reference models' input: video vectors, gated by what was done."""

import pytest
import torch

from features.positives import Action
from features.schema import PAD_ROW
from training.tokens import TokensConfig, WatchTokens

ROWS = torch.tensor([[PAD_ROW, 1, 2]])


def tokens_of(**changes: float) -> WatchTokens:
    """Two videos, (3, 4) and (0, 2)."""
    config = TokensConfig.model_validate({"dim": 2, "dropout": 0.0, **changes})
    tokens = WatchTokens(3, config)
    tokens.videos.weight.copy_(torch.tensor([[9.0, 9.0], [3.0, 4.0], [0.0, 2.0]]))
    return tokens


def test_fresh_tokens_are_the_videos_whatever_was_done() -> None:
    vectors, real = tokens_of()(ROWS, torch.tensor([[0, int(Action.POSITIVE), int(Action.QUICK_SKIP)]]))
    assert vectors[0, 1:].tolist() == [[3.0, 4.0], [0.0, 2.0]]
    assert real.tolist() == [[False, True, True]]


def test_the_gates_of_what_was_done_add_up() -> None:
    tokens = tokens_of()
    with torch.no_grad():
        tokens.gates.weight[:, 0] = 0.5  # positive
        tokens.gates.weight[:, 6] = -1.0  # quick skip
    both = int(Action.POSITIVE | Action.QUICK_SKIP)
    vectors, _ = tokens(ROWS, torch.tensor([[0, int(Action.POSITIVE), both]]))
    assert vectors[0, 1:].tolist() == [[4.5, 6.0], [0.0, 1.0]]  # times 1.5 and times .5


def test_item_vectors_are_the_same_table_with_length_one() -> None:
    vectors = tokens_of().item_vectors(torch.tensor([1, 2]))
    torch.testing.assert_close(vectors, torch.tensor([[0.6, 0.8], [0.0, 1.0]]))


def test_training_forgets_a_share_of_the_watches_and_serving_none() -> None:
    torch.manual_seed(0)
    tokens, rows = tokens_of(item_dropout=0.25), torch.ones(100, 100, dtype=torch.int64)
    actions = torch.zeros_like(rows)
    assert tokens.train()(rows, actions)[1].float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert tokens.eval()(rows, actions)[1].all()
