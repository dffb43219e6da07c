"""SASRec reads the newest token of a causal transformer, whatever the objective."""

import pytest
import torch

from features.errors import BadInputError
from tests.training.networks import ONE_INTEREST, small_network
from training.config import Objective, parse_overrides
from training.models.sasrec import SasrecConfig, SasrecNetwork

ROWS = torch.tensor([[3, 4, 5, 6]])


@pytest.mark.parametrize("objective", ["set_to_set", "next_item"])
def test_later_watches_never_change_the_interest_of_a_prefix(objective: Objective) -> None:
    torch.manual_seed(7)
    network = small_network("sasrec", objective=objective).eval()
    ages = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    before = network.route_prefixes(ROWS, torch.ones_like(ROWS), ages).interests
    changed = torch.tensor([[3, 4, 5, 9]])
    after = network.route_prefixes(changed, torch.ones_like(ROWS), ages).interests
    torch.testing.assert_close(after[:3], before[:3])
    assert (after[3] - before[3]).abs().max() > 1e-3


def test_without_layers_the_interest_is_the_newest_video() -> None:
    network = SasrecNetwork(10, SasrecConfig.model_validate(ONE_INTEREST | {"num_layers": 0})).eval()
    interests = network(ROWS, torch.ones_like(ROWS), torch.zeros(1, 4))
    torch.testing.assert_close(interests[0], network.item_vectors(torch.tensor([6])))


@pytest.mark.parametrize("override", ["num_interests=2", "presence_weight=1", "num_recent=50"])
def test_what_has_no_meaning_is_refused(override: str) -> None:
    with pytest.raises(BadInputError, match=override.split("=")[0]):
        parse_overrides(SasrecConfig, [override])
