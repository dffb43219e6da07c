"""Id and side features fused: without an id the side features speak alone, in training and when cold."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from features.vocabulary import Vocabulary
from tests.training.networks import items_of
from tests.training.test_examples import POSITIVE, sequences
from training.activation import ActivationRecord
from training.examples import HiddenSets
from training.item_side import ItemSide, ItemSideConfig
from training.items import Field, Items
from training.loop import Plan, fit
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.sampling import NegativeSampler

ROWS = torch.arange(1, 9)
SIDE = {"side_features": "tag_ids,duration", "dim": 8}


def item_side(**more: object) -> ItemSide:
    torch.manual_seed(7)
    return ItemSide(items_of(9), ItemSideConfig.model_validate(SIDE | more)).eval()


def test_an_id_and_side_features_are_added() -> None:
    side = item_side()
    assert side.side is not None
    torch.testing.assert_close(side(ROWS, torch.ones(8, 8)), side.ids(ROWS) + side.side(ROWS) + 1)


def test_a_fresh_gate_adds_and_a_wide_open_one_hears_one_side_alone() -> None:
    side = item_side(side_fusion="gated")
    assert side.side is not None
    assert side.gate is not None
    torch.testing.assert_close(side(ROWS), side.ids(ROWS) + side.side(ROWS))
    torch.nn.init.constant_(side.gate.bias, 100.0)
    torch.testing.assert_close(side(ROWS), 2 * side.ids(ROWS))
    torch.nn.init.constant_(side.gate.bias, -100.0)
    torch.testing.assert_close(side(ROWS), 2 * side.side(ROWS))


def test_a_share_of_the_videos_loses_all_that_belongs_to_the_id_in_training_alone() -> None:
    side, rows = item_side(id_dropout=0.25), ROWS.repeat(500)
    assert side.side is not None
    own = torch.ones(len(rows), 8)
    whole, alone = side(rows, own), side.side(rows)
    trained = side.train()(rows, own)
    is_alone = (trained == alone).all(dim=1)
    assert is_alone.float().mean().item() == pytest.approx(0.25, abs=0.02)  # 4,000 draws: 3 sigma
    torch.testing.assert_close(trained[~is_alone], whole[~is_alone])


def test_a_video_without_a_row_is_its_side_features() -> None:
    side = item_side()
    assert side.side is not None
    rows = torch.tensor([0, 3])
    fields = side.side.rows_of(torch.tensor([5, 3]))
    vectors = side.encode(rows, fields, torch.ones(2, 8))
    torch.testing.assert_close(vectors[0], side.side(torch.tensor([5]))[0])
    torch.testing.assert_close(vectors[1], side(torch.tensor([3]), torch.ones(1, 8))[0])


@pytest.mark.parametrize("change", [{"id_dropout": 0.1}, {"side_fusion": "gated"}, {"negatives": "id"}])
def test_what_needs_side_features_is_refused_without_them(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="without side_features"):
        ItemSideConfig.model_validate(change)


@pytest.mark.parametrize("negatives", ["full", "id"])
def test_negatives_by_their_ids_teach_side_features_nothing(negatives: str) -> None:
    config = SingleActivationConfig.model_validate(
        {
            "side_features": "tag_ids",
            "negatives": negatives,
            "dim": 8,
            "num_interests": 2,
            "num_negatives": 10,
        }
    )
    tags = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2])[:, None]  # users watch those of tag 1 alone
    torch.manual_seed(7)
    network = SingleActivationNetwork(Items(9, {"tag_ids": Field(tags, 3)}), config)
    values = network.items.side.fields[0].values.weight
    before = values.detach().clone()
    users = [[(1 + (i + u) % 4, POSITIVE) for i in range(4)] for u in range(8)]
    examples = HiddenSets(sequences(*users), Vocabulary(np.arange(1, 9)), config)
    sampler = NegativeSampler(torch.ones(9), 10, 0.5)
    record = ActivationRecord(np.arange(8), 2, 2.0)
    fit(network, examples, sampler, config, plan=Plan(epochs=1), record=record)
    assert not torch.equal(values[1], before[1])
    assert torch.equal(values[2], before[2]) == (negatives == "id")
    rows = torch.arange(1, 9)
    assert torch.equal(network.negative_vectors(rows), network.item_vectors(rows)) == (negatives == "full")
