"""Dynamic capacity: how many interests a user gets. The others are pruned before the search.

==========  ==========================================================================================
rule        an interest stays if
==========  ==========================================================================================
``all``     always
``share``   its smoothed share of the user's activations is at least ``min_share`` / K
``log2``    it is among the max(1, log2 n) most activated, n positives in the history (MIND, Li et al.,
            CIKM 2019, equation 9)
==========  ==========================================================================================

Activations are counts: the positives of the history by the interest that fits them best, or what training
recorded of the user, see ``training/activation.py``. Few positives say little, so that ``share`` starts from
the shares of all users in training, as ``prior_strength`` activations of the user: the posterior mean of a
Dirichlet prior. An interest that copies a more activated one finds nothing of its own and goes under both
rules. The most activated interest always stays.

Shape letters: B users, K interests, D dimensions, L watches, A rows of the record.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat

from features.bundle import ACTIVATIONS
from features.positives import Action
from features.schema import INTEREST, PAD_ROW, USER_ID

Rule = Literal["all", "share", "log2"]
COPY_COSINE: Final = 0.9999
"""Interests closer than this are one."""


class Capacity(BaseModel):
    """The rule and its thresholds."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rule: Rule = "share"
    """Which interests stay."""
    min_share: NonNegativeFloat = 0.6
    """Smallest share of the user's activations for the rule ``share``; 1 is the even share 1/K."""
    prior_strength: PositiveFloat = 32.0
    """Activations of the user that weigh as much as the shares of all users."""
    use_record: bool = False
    """Prefer what training recorded of the user to the positives of the history."""


DEFAULT_CAPACITY = Capacity()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which interests stay, and on which grounds."""

    is_kept: Bool[np.ndarray, "B K"]
    share: Float[np.ndarray, "B K"]
    """Of the user's activations, smoothed."""
    is_copy: Bool[np.ndarray, "B K"]
    """Whether a more activated interest points the same way."""


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

    def shares(self) -> Float[np.ndarray, " K"]:
        """Each interest's share of all activations; even without any."""
        return shares_of(self._counts)


class Pruner:
    """Decides which interests of a user are searched, the same way offline and online.

    Args:
        prior: share of each interest in the activations of all users.
        record: what training recorded of the users, for a capacity that uses it.
    """

    def __init__(
        self,
        prior: Float[np.ndarray, " K"],
        capacity: Capacity = DEFAULT_CAPACITY,
        record: ActivationTable | None = None,
    ) -> None:
        self._prior = prior
        self._capacity = capacity
        self._record = record if capacity.use_record else None

    @classmethod
    def of(cls, table: ActivationTable, capacity: Capacity = DEFAULT_CAPACITY) -> "Pruner":
        """With everything from the record of one bundle."""
        return cls(table.shares(), capacity, table)

    def keep(
        self,
        user_ids: Int64[np.ndarray, " B"],
        interests: Float32[np.ndarray, "B K D"],
        activation: Float32[np.ndarray, "B K"],
        num_positives: Int64[np.ndarray, " B"],
    ) -> Bool[np.ndarray, "B K"]:
        """Which interests stay; at least one of each user. See ``judge``."""
        return self.judge(user_ids, interests, activation, num_positives).is_kept

    def judge(
        self,
        user_ids: Int64[np.ndarray, " B"],
        interests: Float32[np.ndarray, "B K D"],
        activation: Float32[np.ndarray, "B K"],
        num_positives: Int64[np.ndarray, " B"],
    ) -> Verdict:
        """Which interests stay, at least one of each user, and why.

        Args:
            activation: share of the positives whose best interest is k, as the extractor tells.
            num_positives: in the history, see ``count_positives``.
        """
        counts = activation * num_positives[:, None].astype(np.float32)
        if self._record is not None:
            recorded, has_record = self._record.lookup(user_ids)
            counts = np.where(has_record[:, None], recorded, counts)
        rank = _rank(counts + 1e-6 * self._prior)  # the prior decides between equal counts
        smoothed = counts + self._capacity.prior_strength * self._prior
        share = smoothed / smoothed.sum(axis=1, keepdims=True)
        is_copy = _is_copy(interests, rank)
        if self._capacity.rule == "all":
            return Verdict(np.ones(activation.shape, dtype=bool), share, is_copy)
        if self._capacity.rule == "share":
            keep = share >= self.min_share
        else:
            allowed = np.maximum(np.log2(np.maximum(num_positives, 1)), 1).astype(np.int64)
            keep = rank < allowed[:, None]
        return Verdict((keep & ~is_copy) | (rank == 0), share, is_copy)

    @property
    def min_share(self) -> float:
        """Smoothed share below which the rule ``share`` prunes."""
        return self._capacity.min_share / len(self._prior)


def shares_of(counts: Float[np.ndarray, "A K"]) -> Float[np.ndarray, " K"]:
    """Each interest's share of all activations, from those by user; even without any."""
    totals = counts.sum(axis=0, dtype=np.float64)
    return totals / totals.sum() if totals.sum() > 0 else np.full(len(totals), 1 / len(totals))


def count_positives(
    video_rows: Int64[np.ndarray, "B L"], actions: Int64[np.ndarray, "B L"]
) -> Int64[np.ndarray, " B"]:
    """Positives of known videos in each history."""
    return ((video_rows != PAD_ROW) & ((actions & Action.POSITIVE.value) > 0)).sum(axis=1)


def _rank(counts: Float[np.ndarray, "B K"]) -> Int64[np.ndarray, "B K"]:
    """0 for the most activated interest of a user."""
    return np.argsort(np.argsort(-counts, axis=1, kind="stable"), axis=1)


def _is_copy(
    interests: Float32[np.ndarray, "B K D"], rank: Int64[np.ndarray, "B K"]
) -> Bool[np.ndarray, "B K"]:
    """Whether a more activated interest points the same way."""
    lengths = np.linalg.norm(interests, axis=2, keepdims=True)
    units = interests / np.maximum(lengths, np.finfo(np.float32).tiny)
    cosines = np.einsum("bkd,bld->bkl", units, units)
    is_behind = rank[:, :, None] > rank[:, None, :]
    return np.asarray(((cosines > COPY_COSINE) & is_behind).any(axis=2))
