"""The exported program does what the network does, for any number of users and watches."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from features.bundle import (
    ACTIVATION,
    EXTRACTOR,
    ITEM_ENCODER,
    ITEM_FIELDS,
    ITEM_VECTORS,
    VOCABULARY,
    vectors_of,
)
from features.history import HistoryBatch
from features.item_encoder import run_encoder
from features.item_fields import ItemFields
from features.lake import curated_schema
from features.schema import VIDEO_ID, VIDEOS
from features.vocabulary import Vocabulary
from tests.training.networks import NETWORKS, NUM_ROWS, SINGLE, D, K, small_network
from training.activation import ActivationRecord
from training.errors import ExportError
from training.export import check_export, export_item_encoder, write_interest_files
from training.network import Extractor, InterestNetwork, ItemEncoder
from training.ranking import exported_extractor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def num_interests(name: str) -> int:
    return 1 if name in SINGLE else K


@pytest.fixture(scope="module")
def network(name: str) -> InterestNetwork:
    torch.manual_seed(7)
    return small_network(name).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, network: InterestNetwork, num_interests: int) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    vocabulary = Vocabulary(np.arange(100, 100 + NUM_ROWS - 1))
    videos = curated_schema(VIDEOS).empty_table()
    record = ActivationRecord(np.array([5, 9]), num_interests, half_life_epochs=1.0)
    activated = np.zeros((2, num_interests), np.float32)
    activated[:, -1] = 1.0
    record.add(np.array([9]), np.array([0, 0]), activated, np.array([1.0, 0.3], np.float32))
    fields = ItemFields.of(videos)
    write_interest_files(folder, network, vocabulary, videos, record, fields=fields, history_length=6)
    return folder


@pytest.mark.parametrize(("num_users", "length"), [(1, 6), (7, 6), (2, 3), (4, 50)])
def test_onnx_equals_torch(
    folder: Path, network: InterestNetwork, num_interests: int, num_users: int, length: int
) -> None:
    random = np.random.default_rng(num_users)
    rows = random.integers(0, NUM_ROWS, (num_users, length))
    batch = HistoryBatch(
        rows, np.where(rows > 0, 1, 0), random.random((num_users, length), dtype=np.float32), num_unknown=0
    )
    ours = exported_extractor(folder / EXTRACTOR)(batch)
    theirs = Extractor(network).as_extract()(batch)
    assert ours[0].shape == (num_users, num_interests, D)
    assert ours[1].shape == (num_users, num_interests)
    for exported, eager in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(exported, eager, atol=1e-5)


def test_another_network_is_not_taken_for_the_exported_one(name: str, folder: Path) -> None:
    torch.manual_seed(8)
    with pytest.raises(ExportError, match="differ by"):
        check_export(folder / EXTRACTOR, Extractor(small_network(name)), NUM_ROWS, 6)


def test_item_vectors_are_those_of_the_loss_without_the_padding_row(
    folder: Path, network: InterestNetwork
) -> None:
    items = pq.read_table(folder / ITEM_VECTORS)
    np.testing.assert_array_equal(vectors_of(items), network.vectors().detach().numpy()[1:])
    assert items[VIDEO_ID].to_pylist()[:2] == [100, 101]
    assert pq.read_table(folder / VOCABULARY)["row"].to_pylist()[:2] == [1, 2]


def test_the_item_encoder_gives_the_stored_vectors_for_any_rows(
    folder: Path, network: InterestNetwork
) -> None:
    stored = vectors_of(pq.read_table(folder / ITEM_VECTORS))
    rows = np.array([3, 1])
    fields = [part.numpy() for part in network.field_rows(torch.from_numpy(rows))]
    feed = dict(zip(network.field_names, fields, strict=True))
    np.testing.assert_allclose(run_encoder(folder / ITEM_ENCODER, rows, feed), stored[[2, 0]], atol=1e-5)
    assert (folder / ITEM_FIELDS).exists() == bool(network.field_names)


def test_a_video_of_which_nothing_is_known_gets_zeros(folder: Path, network: InterestNetwork) -> None:
    nothing = {name: np.zeros((1, 1), dtype=np.int64) for name in network.field_names}
    assert not run_encoder(folder / ITEM_ENCODER, np.array([0]), nothing).any()


def test_the_record_of_activations_is_in_the_bundle(folder: Path, num_interests: int) -> None:
    rows = pq.read_table(folder / ACTIVATION).to_pylist()
    assert rows == [{"user_id": 9, "interest": num_interests - 1, "activation": pytest.approx(1.3)}]


def test_vectors_that_are_no_numbers_are_not_exported(tmp_path: Path, network: InterestNetwork) -> None:
    encoder = ItemEncoder(network)
    encoder.table[3] = torch.nan
    with pytest.raises(ExportError, match="vectors of ONNX and of PyTorch differ by nan"):
        export_item_encoder(tmp_path / ITEM_ENCODER, encoder)
