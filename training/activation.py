"""The activation record: how often training activated each interest of each user.

Single activation trains one interest per target; which one is written down here. Older passes fade, since
an interest of an early network is not yet what it becomes. The bundle keeps it as ``activation.parquet``.

Shape letters: U users, K interests, B users of a batch, T targets of the batch.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from features.bundle import ACTIVATION_SCHEMA


class ActivationRecord:
    """Faded counts per user and interest.

    Args:
        user_ids: ascending; every user that training will see.
        half_life_epochs: after so many passes an activation counts half.
    """

    def __init__(
        self, user_ids: Int64[np.ndarray, " U"], num_interests: int, half_life_epochs: float
    ) -> None:
        self._user_ids = user_ids
        self._kept = 0.5 ** (1 / half_life_epochs)
        self.counts = np.zeros((len(user_ids), num_interests), dtype=np.float32)
        """(U, K)"""

    def add(
        self,
        user_ids: Int64[np.ndarray, " B"],
        target_users: Int64[np.ndarray, " T"],
        activated: Float32[np.ndarray, "T K"],
        weights: Float32[np.ndarray, " T"],
    ) -> None:
        """Count the interests that the targets of one batch activated.

        Args:
            target_users: place in ``user_ids`` of each target's user.
            activated: how far each target activated each interest, see ``training/assignment.py``.
            weights: of the targets in the loss.
        """
        places = np.searchsorted(self._user_ids, user_ids)[target_users]
        np.add.at(self.counts, places, activated * weights[:, None])

    def fade(self) -> None:
        """Age everything by one pass."""
        self.counts *= self._kept

    def table(self) -> pa.Table:
        """Rows of ``activation.parquet``: interests that were activated at all, by user and interest."""
        users, interests = np.nonzero(self.counts)
        columns = [self._user_ids[users], interests.astype(np.int32), self.counts[users, interests]]
        return pa.table(columns, schema=ACTIVATION_SCHEMA)
