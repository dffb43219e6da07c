"""ComiRec pools by attention that knows the place, or routes through a matrix per interest."""

import math

import torch

from training.models.comirec import ComirecConfig, DynamicRoutingNetwork, SelfAttentionNetwork

TWO = ComirecConfig.model_validate({"num_interests": 2, "dim": 2, "dropout": 0.0, "history_length": 3})
ROWS = torch.tensor([[1, 2]])
VIDEOS = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]])


def self_attention() -> SelfAttentionNetwork:
    """Video 1 lies east, video 2 north; one hidden unit looks east."""
    network = SelfAttentionNetwork(3, TWO).eval()
    network.tokens.videos.weight.copy_(VIDEOS)
    with torch.no_grad():
        network.to_hidden.weight.zero_()[0, 0] = 1.0
        network.to_logits.weight.zero_()[:, 0] = torch.tensor([1.0, -1.0])
    return network


def test_attention_is_the_softmax_of_a_tanh_layer() -> None:
    # Hidden: tanh 1 for east, 0 for north. Logits of interest 0: tanh 1 and 0; of interest 1: -tanh 1 and 0.
    e = math.exp(math.tanh(1.0))
    expected = torch.tensor([[[e, 1.0], [1 / e, 1.0]]])  # weights in proportion, before the length of 1
    expected = expected / expected.norm(dim=2, keepdim=True)
    interests = self_attention()(ROWS, torch.zeros_like(ROWS), torch.zeros(1, 2))
    torch.testing.assert_close(interests, expected)


def test_places_move_the_attention_and_stay_out_of_the_pooled_vectors() -> None:
    network = self_attention()
    with torch.no_grad():
        network.places.weight[1] = torch.tensor([5.0, 7.0])  # of the second watch from the oldest
    # Now north, the second watch, has the logit tanh 5; the vectors are still east and north.
    east, north = math.exp(math.tanh(1.0)), math.exp(math.tanh(5.0))
    expected = torch.tensor([[[east, north], [1 / east, 1 / north]]])
    expected = expected / expected.norm(dim=2, keepdim=True)
    interests = network(ROWS, torch.zeros_like(ROWS), torch.zeros(1, 2))
    torch.testing.assert_close(interests, expected)


def test_dynamic_routing_reads_each_watch_through_the_matrix_of_the_interest() -> None:
    network = DynamicRoutingNetwork(3, TWO.model_copy(update={"num_rounds": 1})).eval()
    network.tokens.videos.weight.copy_(VIDEOS)
    with torch.no_grad():
        network.matrices[0] = torch.tensor([[2.0, 0.0], [0.0, 1.0]])  # doubles east
        network.matrices[1] = torch.tensor([[0.0, 1.0], [0.0, 2.0]])  # turns east north, doubles north
    # One round from logits of zero: half of each watch. Interest 0: (2, 1) / 2; interest 1: (0, 3) / 2.
    interests = network(ROWS, torch.zeros_like(ROWS), torch.zeros(1, 2))
    torch.testing.assert_close(interests, torch.tensor([[[2 / 5**0.5, 1 / 5**0.5], [0.0, 1.0]]]))


def test_fresh_attention_parts_the_interests() -> None:
    torch.manual_seed(7)
    network = SelfAttentionNetwork(500, ComirecConfig()).eval()
    rows = torch.randint(1, 500, (20, 50))
    _, logits, _ = network.attend(rows, torch.zeros_like(rows))
    assert 0.5 < logits.std().item() < 3.0
