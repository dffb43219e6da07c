"""The trend as a coordinate: scores gain its log, interests turn no further, and the export carries it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from features.bundle import EXTRACTOR, ITEM_ENCODER
from features.schema import PAD_ROW
from tests.training.networks import NUM_ROWS, D, small_network
from training.export import export_extractor, export_item_encoder
from training.network import Extractor, InterestNetwork, ItemEncoder
from training.trended import Trended

FACTORS = np.linspace(0.5, 2, NUM_ROWS - 1)


@pytest.fixture(scope="module")
def plain() -> InterestNetwork:
    torch.manual_seed(7)
    return small_network("single_activation").eval()


def test_a_score_gains_the_log_of_its_factor_on_the_logits(plain: InterestNetwork) -> None:
    trended = Trended(plain, FACTORS)
    rows = torch.arange(1, 6).reshape(1, 5)
    watched = (rows, torch.ones_like(rows), torch.zeros(1, 5))
    ours = (trended(*watched) @ trended.vectors().T) / trended.temperature  # (1, K, R)
    theirs = (plain(*watched) @ plain.vectors().T) / plain.temperature
    gained = (ours - theirs).detach().numpy()
    assert gained[0, :, PAD_ROW] == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(
        gained[0, :, 1:], np.broadcast_to(np.log(FACTORS), gained[0, :, 1:].shape), atol=1e-4
    )


@pytest.mark.slow
def test_the_exported_programs_carry_it(plain: InterestNetwork, tmp_path: Path) -> None:
    trended = Trended(plain, FACTORS)
    assert trended.vectors().shape == (NUM_ROWS, D + 1)
    export_item_encoder(tmp_path / ITEM_ENCODER, ItemEncoder(trended))
    export_extractor(tmp_path / EXTRACTOR, Extractor(trended), NUM_ROWS, 6)  # both compare with PyTorch
