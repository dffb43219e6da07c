"""Profiles in the interests: switched by a gate, exported, and enough for a user without history."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from features.bundle import EXTRACTOR
from features.profile import ProfileVocabulary
from tests.training.networks import NUM_ROWS, SMALL, K, items_of
from training.errors import ExportError
from training.export import check_export, export_extractor
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.network import Extractor
from training.profile_fusion import ProfileFusion
from training.user_profiles import UserProfiles

PROFILE = ProfileVocabulary(["age=old", "age=young", "city=a", "city=b"])


def network(seed: int = 7, **changes: object) -> SingleActivationNetwork:
    """A network that reads two attributes, shaken so that no weight is at its fresh zero."""
    torch.manual_seed(seed)
    config = SingleActivationConfig.model_validate(SMALL | {"profile_features": "all"} | changes)
    built = SingleActivationNetwork(items_of(NUM_ROWS), config, PROFILE.num_rows)
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return built.eval()


def histories(num_users: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows = torch.tensor([[0, 0, 3, 4, 5, 6]] * num_users)
    return rows, (rows > 0).long(), torch.zeros(rows.shape)


def test_each_interest_opens_its_gate_for_the_sum_of_the_known_values() -> None:
    fusion = ProfileFusion(5, num_interests=2, dim=2)
    with torch.no_grad():
        fusion.values.weight.copy_(torch.tensor([[9.0, 9], [1, 0], [0, 2], [4, 4], [5, 5]]) / 10)
        fusion.openness.copy_(torch.tensor([100.0, -100.0]))  # open and shut
    pooled = torch.zeros(2, 2, 2)
    found = fusion(pooled, torch.tensor([[1, 2], [1, 0]]))  # row 0 is unknown, whatever stands in the table
    torch.testing.assert_close(found[0], torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    torch.testing.assert_close(found[1], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


def test_fresh_gates_are_half_open_and_depend_on_history_and_profile_once_trained() -> None:
    fusion = ProfileFusion(3, num_interests=1, dim=1)
    with torch.no_grad():
        fusion.values.weight.copy_(torch.tensor([[0.0], [0.1], [0.2]]))
    assert fusion(torch.zeros(1, 1, 1), torch.tensor([[1]])).item() == pytest.approx(0.5)
    with torch.no_grad():
        fusion.of_history.fill_(2.0)
        fusion.of_profile.fill_(-1.0)
    # History 3, profile 1: sigmoid(2 * 3 - 1) of it is added.
    expected = 3 + 1 / (1 + np.exp(-5.0))
    assert fusion(torch.full((1, 1, 1), 3.0), torch.tensor([[1]])).item() == pytest.approx(expected)


def test_another_profile_gives_other_interests_and_an_unknown_one_those_of_the_history() -> None:
    reads = network()
    old, young, nobody = (reads(*histories(), torch.tensor([[row, 0]])) for row in (1, 2, 0))
    assert not torch.allclose(old, young)
    reads.profile = None
    torch.testing.assert_close(reads(*histories()), nobody)


def test_every_prefix_gets_the_profile_of_its_user() -> None:
    reads = network(objective="next_item")
    profile = torch.tensor([[1, 3], [2, 4]])
    prefixes = reads.route_prefixes(*histories(2), profile).interests.reshape(2, 6, K, -1)
    torch.testing.assert_close(prefixes[:, -1], reads(*histories(2), profile))


def test_a_forgotten_history_leaves_the_profile_in_training_only() -> None:
    forgetful = network(history_dropout=0.5)
    empty = [part * 0 for part in histories(40)]
    profile = torch.tensor([[1, 3]] * 40)
    full, alone = forgetful(*histories(40), profile), forgetful(*empty, profile)
    forgetful.train()
    mixed = forgetful(*histories(40), profile)
    is_alone = torch.isclose(mixed, alone).all(dim=2).all(dim=1)
    assert 8 < int(is_alone.sum()) < 32
    torch.testing.assert_close(mixed[~is_alone], full[~is_alone])
    with pytest.raises(ValidationError, match="leaves nothing without profile_features"):
        SingleActivationConfig(history_dropout=0.5)


@pytest.mark.slow
def test_the_exported_program_reads_profiles_as_the_network_does(tmp_path: Path) -> None:
    export_extractor(tmp_path / EXTRACTOR, Extractor(network()), NUM_ROWS, 6, profile=PROFILE)
    with pytest.raises(ExportError, match="interests of ONNX and of PyTorch differ"):
        check_export(tmp_path / EXTRACTOR, Extractor(network(seed=8)), NUM_ROWS, 6, profile=PROFILE)


def test_profiles_come_in_the_order_that_is_asked_for() -> None:
    tokens = pa.array([["age=young"], ["age=old", "city=a"]], pa.list_(pa.string()))
    found = UserProfiles(np.array([3, 5]), tokens).tokens_of(np.array([5, 4, 3]))
    assert found.to_pylist() == [["age=old", "city=a"], None, ["age=young"]]
    assert UserProfiles.nobody().tokens_of(np.array([3])).to_pylist() == [None]
