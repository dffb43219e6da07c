"""Side features: the mean of a field's values, summed over fields, felt on both sides of the network."""

import numpy as np
import pytest
import torch

from features.errors import BadInputError
from tests.training.networks import items_of, small_network
from training.config import parse_overrides
from training.items import Field, Items
from training.models.single_activation import SingleActivationConfig
from training.side_features import SHARED_SPEED, SideFeatures

# Video 1: tags 1 and 2, category 1. Video 2: tag 2. Video 3: nothing.
ITEMS = Items(
    4,
    {
        "tag_ids": Field(np.array([[0, 0], [1, 2], [2, 0], [0, 0]]), 3),
        "category": Field(np.array([[0], [1], [0], [0]]), 2),
    },
)


def test_a_video_is_the_mean_of_its_tags_and_its_category() -> None:
    side = SideFeatures(ITEMS, ["tag_ids", "category"], 8, 0.1)
    tags, category = (field.values.weight for field in side.fields)
    vectors = side(torch.arange(4))
    torch.testing.assert_close(vectors[1], SHARED_SPEED * (tags[1:3].mean(dim=0) + category[1]))
    torch.testing.assert_close(vectors[2], SHARED_SPEED * tags[2])
    assert not vectors[[0, 3]].any(), "what is not known says nothing"
    torch.testing.assert_close(side(torch.tensor([[1, 3]]))[0], vectors[[1, 3]])


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_tags_are_pooled_otherwise_if_asked(pooling: str) -> None:
    side = SideFeatures(ITEMS, ["tag_ids", "category"], 8, 0.1, pooling)
    tags, category = side.fields
    first, second = tags.values.weight[1:]
    mean = (first + second) / 2
    if pooling == "attention":
        torch.testing.assert_close(
            side(torch.arange(4))[1], SHARED_SPEED * (mean + category.values.weight[1])
        )
        with torch.no_grad():
            tags.score.copy_(first - second)
        share = torch.sigmoid(SHARED_SPEED * (first - second).square().sum())  # softmax of two scores
        pooled = share * first + (1 - share) * second
    else:
        pooled = torch.maximum(first, second)
    vectors = side(torch.arange(4))
    torch.testing.assert_close(vectors[1], SHARED_SPEED * (pooled + category.values.weight[1]))
    torch.testing.assert_close(vectors[2], SHARED_SPEED * second)
    assert not vectors[[0, 3]].any(), "what is not known says nothing"


def test_rows_from_elsewhere_give_what_the_rows_of_the_vocabulary_give() -> None:
    side = SideFeatures(ITEMS, ["tag_ids", "category"], 8, 0.1)
    wider = torch.tensor([[1, 2, 0, 0], [0, 2, 0, 0]]), torch.tensor([[1], [0]])
    torch.testing.assert_close(side.encode(wider), side(torch.tensor([1, 2])))


def test_both_sides_of_the_network_read_them() -> None:
    network = small_network("single_activation_side").eval()
    same_tag = np.flatnonzero((items_of(40).fields["tag_ids"].rows == 2).any(axis=1))[:2]
    rows = torch.from_numpy(same_tag)
    history = rows[:1].reshape(1, 1)
    before = network.item_vectors(rows), network(history, torch.ones_like(history), torch.zeros(1, 1))
    with torch.no_grad():
        network.items.side.fields[1].values.weight[2] += 1.0
    after = network.item_vectors(rows), network(history, torch.ones_like(history), torch.zeros(1, 1))
    for old, new in zip(before, after, strict=True):
        assert not torch.allclose(old, new)


def test_names_come_with_commas() -> None:
    config = parse_overrides(SingleActivationConfig, ["side_features=uploader_id, tag_ids"])
    assert config.side_features == ("uploader_id", "tag_ids")
    with pytest.raises(BadInputError, match="colour"):
        parse_overrides(SingleActivationConfig, ["side_features=colour"])
