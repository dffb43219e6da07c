"""What a bundle knows of single users: stored interests, and how often training activated each interest.

Rows are keyed by user and by bundle (``<model>/<version>``, column ``version``): a bundle never reads what
another one wrote. Feast's cost is per value, so a user's arrays are packed, little-endian float32:

=====================  ==================================================================
``user_vectors``       ``user_id, version, vectors_packed`` (K, D), ``weights_packed`` (K)
``user_activation``    ``user_id, version, activation_packed`` (K), 0 where there is no record
=====================  ==================================================================

Shape letters: B users, K interests (of that user), D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Float32, Int64

from features.bundle import ACTIVATIONS, Bundle
from features.errors import BadInputError
from features.schema import INTEREST, USER_ID

USER_VECTORS: Final = "user_vectors"
USER_ACTIVATION: Final = "user_activation"
VERSION: Final = "version"
"""``<model>/<version>`` of the bundle that a row belongs to."""
VECTORS_PACKED: Final = "vectors_packed"
WEIGHTS_PACKED: Final = "weights_packed"
ACTIVATION_PACKED: Final = "activation_packed"
FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class UserVectors:
    """Stored interests of one user."""

    vectors: Float32[np.ndarray, "K D"]
    weights: Float32[np.ndarray, " K"]


def pack_user_vectors(
    user_ids: Int64[np.ndarray, " B"],
    vectors: Sequence[Float[np.ndarray, "_ _"]],
    weights: Sequence[Float[np.ndarray, " _"]],
) -> pa.Table:
    """``user_id, vectors_packed, weights_packed``; users may have different numbers of interests.

    Raises:
        BadInputError: a user's weights are not as many as the vectors, or there are none.
    """
    for user_id, own, weight in zip(user_ids.tolist(), vectors, weights, strict=True):
        if len(own) != len(weight) or len(own) == 0:
            raise BadInputError(f"user {user_id} has {len(own)} vectors, but {len(weight)} weights")
    return pa.table(
        {
            USER_ID: pa.array(user_ids),
            VECTORS_PACKED: pa.array([_pack(own) for own in vectors], pa.binary()),
            WEIGHTS_PACKED: pa.array([_pack(weight) for weight in weights], pa.binary()),
        }
    )


def unpack_user_vectors(vectors: bytes | None, weights: bytes | None) -> UserVectors | None:
    """The inverse of ``pack_user_vectors`` for one user; ``None`` without values."""
    if not vectors or not weights:
        return None
    unpacked = unpack_floats(weights)
    return UserVectors(unpack_floats(vectors).reshape(len(unpacked), -1), unpacked)


class StoredVectors:
    """Interests that a bundle stores, by user; unpacked when asked for.

    Args:
        table: the content of ``user_interests.parquet``.
    """

    def __init__(self, table: pa.Table) -> None:
        user_ids = table[USER_ID].to_numpy()
        self._rows = np.argsort(user_ids)
        self._user_ids = user_ids[self._rows]
        self._vectors, self._weights = (
            table[name].combine_chunks() for name in (VECTORS_PACKED, WEIGHTS_PACKED)
        )

    def of_user(self, user_id: int) -> UserVectors | None:
        """The interests of one user, or ``None`` if the bundle has none."""
        place = int(np.searchsorted(self._user_ids, user_id))
        if place == len(self._user_ids) or self._user_ids[place] != user_id:
            return None
        row = int(self._rows[place])
        return unpack_user_vectors(self._vectors[row].as_py(), self._weights[row].as_py())

    def most(self) -> int:
        """Interests of the user who has most; at least 1."""
        most_bytes = pc.max(pc.binary_length(self._weights)).as_py()
        return max((most_bytes or 0) // FLOAT_BYTES, 1)


def pack_activation(bundle: Bundle) -> pa.Table:
    """``user_id, activation_packed``: the activation record of a bundle of kind ``interests``."""
    record = bundle.activation
    users, places = np.unique(record[USER_ID].to_numpy(), return_inverse=True)
    counts = np.zeros((len(users), bundle.manifest.num_interests), dtype="<f4")
    counts[places, record[INTEREST].to_numpy()] = record[ACTIVATIONS].to_numpy()
    packed = pa.array([row.tobytes() for row in counts], pa.binary())
    return pa.table({USER_ID: pa.array(users, pa.int64()), ACTIVATION_PACKED: packed})


def unpack_floats(packed: bytes) -> Float32[np.ndarray, " N"]:
    """Packed float32 values."""
    return np.frombuffer(packed, dtype="<f4").astype(np.float32)


def _pack(values: Float[np.ndarray, "..."]) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()
