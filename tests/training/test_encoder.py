"""What the encoder does beyond the contract of the networks: compression, dropout of watches, causality."""

import pytest
import torch
from pydantic import ValidationError

from features.positives import Action
from features.schema import PAD_ROW
from training.config import EncoderConfig
from training.encoder import HistoryEncoder, gap_bucket

SMALL = {"dim": 8, "dropout": 0.0, "history_length": 6}


def encoder(**changes: object) -> HistoryEncoder:
    torch.manual_seed(0)
    return HistoryEncoder(20, EncoderConfig.model_validate(SMALL | changes)).eval()


def history(*rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    video_rows = torch.tensor([rows])
    return video_rows, torch.zeros_like(video_rows), torch.zeros(1, len(rows))


def test_older_watches_become_the_mean_of_their_block() -> None:
    short = encoder(num_layers=0, num_recent=2, block_length=2)
    whole = encoder(num_layers=0)
    tokens, real = short(*history(3, 4, 5, 6, 7, 8))
    single, _ = whole(*history(3, 4, 5, 6, 7, 8))
    assert tokens.shape[1] == 1 + 2 + 2  # start, two blocks of two, two recent ones
    assert real.all()
    torch.testing.assert_close(tokens[:, 1], single[:, 1:3].mean(dim=1))
    torch.testing.assert_close(tokens[:, 3:], single[:, 5:])


def test_a_half_filled_block_averages_what_is_there_and_an_empty_one_is_padding() -> None:
    short = encoder(num_layers=0, num_recent=2, block_length=2)
    tokens, real = short(*history(5, 7, 8))
    assert real.tolist() == [[True, False, True, True, True]]
    single, _ = encoder(num_layers=0)(*history(5, 7, 8))
    torch.testing.assert_close(tokens[:, 2], single[:, 1])


def test_blocks_must_fill_the_older_history() -> None:
    with pytest.raises(ValidationError, match="is no multiple of block_length=3"):
        EncoderConfig.model_validate(SMALL | {"num_recent": 2, "block_length": 3})
    with pytest.raises(ValidationError, match="does not go with objective=next_item"):
        EncoderConfig.model_validate(SMALL | {"num_recent": 2, "block_length": 2, "objective": "next_item"})


def test_dropped_watches_are_treated_as_padding_in_training_only() -> None:
    forgetful = encoder(item_dropout=0.5)
    _, real = forgetful(*history(3, 4, 5, 6, 7, 8))
    assert real.all()
    forgetful.train()
    kept = torch.stack([forgetful(*history(3, 4, 5, 6, 7, 8))[1][0, 1:] for _ in range(200)])
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_a_causal_token_does_not_know_what_comes_later() -> None:
    causal, free = encoder(objective="next_item"), encoder()
    for part in (causal, free):
        for weight in part.parameters():
            weight.data.add_(0.1 * torch.randn_like(weight))
    change = lambda part: (part(*history(3, 4, 5))[0] - part(*history(3, 4, 9))[0])[0, :3].abs().max()  # noqa: E731
    assert change(causal) == 0
    assert change(free) > 1e-3


def test_gaps_count_from_the_watch_before() -> None:
    ages = torch.tensor([[0.0, 9.0, 2.0, 1.0]])
    watched = torch.tensor([[False, True, True, True]])
    # The first watch has no gap; then 7 days = 168 hours, log2(169) = 7.4; then 24 hours, log2(25) = 4.6.
    assert gap_bucket(ages, watched)[0, 1:].tolist() == [0, 7, 4]


def test_padding_rows_are_not_real() -> None:
    _, real = encoder()(*history(PAD_ROW, 3))
    assert real.tolist() == [[True, False, True]]


def with_actions(*pairs: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A history of (video row, action code)."""
    rows, actions = (torch.tensor([column]) for column in zip(*pairs, strict=True))
    return rows, actions, torch.zeros(1, len(pairs))


def test_a_watch_has_another_vector_where_it_was_no_long_view_if_tables_are_apart() -> None:
    long_view, liked = int(Action.POSITIVE | Action.LIKED), int(Action.LIKED)
    for tables, differs in (("shared", False), ("by_action", True)):
        watches = encoder(num_layers=0, history_tables=tables)  # fresh gates: actions change nothing else
        tokens, _ = watches(*with_actions((3, long_view), (3, liked)))
        first, second = tokens[0, 1], tokens[0, 2] - watches.places.weight[0] + watches.places.weight[1]
        assert torch.equal(first, second) is not differs
    expected = watches.plain_differences.weight[3]
    torch.testing.assert_close(second - first, expected, atol=1e-7, rtol=0)


def test_what_the_network_may_not_see_of_an_action_changes_nothing() -> None:
    for seen, differs in (("all", True), ("long_view", False)):
        watches = encoder(actions=seen)
        torch.nn.init.normal_(watches.gates.weight)
        plain, disliked = (watches(*with_actions((3, code)))[0] for code in (0, int(Action.DISLIKED)))
        assert torch.equal(plain, disliked) is not differs
