"""Arrays of single users survive packing."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.bundle import ACTIVATION, ACTIVATION_SCHEMA, open_bundle, write_bundle
from features.errors import BadInputError
from features.user_vectors import pack_activation, pack_user_vectors, unpack_floats, unpack_user_vectors
from tests.features.test_bundle import manifest, write_interests

MOMENT = datetime(2026, 3, 2, tzinfo=UTC)


def test_users_may_have_different_numbers_of_interests() -> None:
    vectors = [np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[5.0, 6.0]], np.float32)]
    weights = [np.array([0.7, 0.3], np.float32), np.array([1.0], np.float32)]
    rows = pack_user_vectors(np.array([4, 9]), vectors, weights).to_pylist()
    assert [row["user_id"] for row in rows] == [4, 9]
    for row, vector, weight in zip(rows, vectors, weights, strict=True):
        found = unpack_user_vectors(row["vectors_packed"], row["weights_packed"])
        assert found is not None
        assert found.vectors.tolist() == vector.tolist()
        assert found.weights.tolist() == weight.tolist()
    assert unpack_user_vectors(None, None) is None


@pytest.mark.parametrize(("num_vectors", "num_weights"), [(2, 1), (0, 0)])
def test_weights_belong_to_vectors(num_vectors: int, num_weights: int) -> None:
    with pytest.raises(BadInputError, match=f"user 4 has {num_vectors} vectors, but {num_weights} weights"):
        pack_user_vectors(
            np.array([4]), [np.ones((num_vectors, 3), np.float32)], [np.ones(num_weights, np.float32)]
        )


def test_the_activation_record_has_zeros_where_nothing_was_recorded(tmp_path: Path) -> None:
    record = [(1, 0, 2.5), (1, 1, 0.5), (7, 1, 3.0)]
    columns = zip(*record, strict=True)
    rows = pa.table([pa.array(column) for column in columns], ACTIVATION_SCHEMA.names).cast(ACTIVATION_SCHEMA)

    def write(folder: Path) -> None:
        write_interests(folder)
        pq.write_table(rows, folder / ACTIVATION)

    packed = pack_activation(open_bundle(write_bundle(tmp_path, manifest(), write))).to_pylist()
    found = {row["user_id"]: unpack_floats(row["activation_packed"]).tolist() for row in packed}
    assert found == {1: [2.5, 0.5], 7: [0.0, 3.0]}
