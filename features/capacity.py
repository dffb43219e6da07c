"""Dynamic capacity: how many interests a user gets. The others are pruned before the search.

==========  ==========================================================================================
rule        an interest stays if
==========  ==========================================================================================
``all``     always
``share``   its share of the user's activations is at least ``min_share``
``log2``    it is among the max(1, log2 n) most activated, n positives in the history (MIND, Li et al.,
            CIKM 2019, equation 9)
==========  ==========================================================================================

Activations come from the record that training kept of the user, see ``training/activation.py``; of a user
without a record, from the positives of the history, as the extractor counts them. The most activated interest
always stays, and a user without any activation keeps all.

Shape letters: B users, K interests, A rows of the record.
"""

from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import BaseModel, ConfigDict, Field

from features.bundle import ACTIVATIONS
from features.positives import Action
from features.schema import INTEREST, PAD_ROW, USER_ID

Rule = Literal["all", "share", "log2"]


class Capacity(BaseModel):
    """The rule and its threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rule: Rule = "share"
    """Which interests stay."""
    min_share: float = Field(default=0.05, ge=0, le=1)
    """Smallest share of the user's activations, for the rule ``share``."""
    use_record: bool = False
    """Prefer what training recorded of the user to the positives of the history."""


DEFAULT_CAPACITY = Capacity()


class ActivationTable:
    """The activation record of a bundle, by user.

    Args:
        table: ``user_id, interest, activation``, sorted by user; the content of ``activation.parquet``.
    """

    def __init__(self, table: pa.Table, num_interests: int) -> None:
        users = table[USER_ID].to_numpy()
        self._user_ids, rows = np.unique(users, return_inverse=True)
        self._counts = np.zeros((len(self._user_ids) + 1, num_interests), dtype=np.float32)
        self._counts[rows, table[INTEREST].to_numpy()] = table[ACTIVATIONS].to_numpy()

    def lookup(
        self, user_ids: Int64[np.ndarray, " B"]
    ) -> tuple[Float32[np.ndarray, "B K"], Bool[np.ndarray, " B"]]:
        """Activations of each user, and whether there is a record; zeros without one."""
        places = np.searchsorted(self._user_ids, user_ids)
        known = np.append(self._user_ids, -1)[places] == user_ids
        return self._counts[np.where(known, places, len(self._user_ids))], known


def keep_active(
    activation: Float[np.ndarray, "B K"],
    capacity: Capacity = DEFAULT_CAPACITY,
    num_positives: Int64[np.ndarray, " B"] | None = None,
) -> Bool[np.ndarray, "B K"]:
    """Which interests stay; at least one of each user.

    Args:
        num_positives: in the history of each user, for the rule ``log2``.
    """
    total = activation.sum(axis=1, keepdims=True)
    if capacity.rule == "all":
        return np.ones(activation.shape, dtype=bool)
    if capacity.rule == "share":
        share = activation / np.where(total > 0, total, 1)
        keep = (share >= capacity.min_share) | (share == share.max(axis=1, keepdims=True))
    else:
        if num_positives is None:
            raise ValueError("the rule log2 needs the number of positives of each user")
        allowed = np.maximum(np.log2(np.maximum(num_positives, 1)), 1).astype(np.int64)
        rank = np.argsort(np.argsort(-activation, axis=1, kind="stable"), axis=1)
        keep = rank < allowed[:, None]
    return np.where(total > 0, keep, True)


def count_positives(
    video_rows: Int64[np.ndarray, "B L"], actions: Int64[np.ndarray, "B L"]
) -> Int64[np.ndarray, " B"]:
    """Positives of known videos in each history."""
    return ((video_rows != PAD_ROW) & ((actions & Action.POSITIVE.value) > 0)).sum(axis=1)
