"""Training examples: a part of a user's videos is hidden, the rest is the history that must predict it.

Set to set, as PinnerFormer's all-action loss (Pancha et al., KDD 2022) turned around: instead of a horizon,
a random share of the positives is the target, wherever it lies in time. What follows what (next-item
training) says little about a week; what goes with what says more (docs/decisions/0003).

Rules: every video is hidden as a whole, under all its watches, so that no target stays in the history.
Each user of a batch has at least one hidden and one visible video that could have been hidden. Skips and
dislikes are never targets and always stay visible. Ages count from the user's newest watch.

Shape letters: U users, W watches of all users, B users of a batch, S widest sequence of the batch,
L history length, T targets of the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

from features.history import MICROSECONDS_PER_DAY
from features.positives import Action
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.config import TrainConfig
from training.dataset import Sequences

BATCHES_PER_BUCKET: Final = 32
"""Users are shuffled, then sorted by length within so many batches: little padding, still random."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Visible histories and hidden targets of B users; targets are flat."""

    user_ids: Int64[np.ndarray, " B"]
    video_rows: Int64[np.ndarray, "B L"]
    actions: Int64[np.ndarray, "B L"]
    age_days: Float32[np.ndarray, "B L"]
    target_users: Int64[np.ndarray, " T"]
    """Place in the batch."""
    target_rows: Int64[np.ndarray, " T"]
    target_weights: Float32[np.ndarray, " T"]


class ExampleMaker:
    """Makes batches out of sequences, hiding other videos every time.

    Args:
        sequences: users with fewer than two videos that could be hidden are left out.
        history_length: L.
    """

    def __init__(
        self, sequences: Sequences, vocabulary: Vocabulary, config: TrainConfig, *, history_length: int
    ) -> None:
        rows = vocabulary.rows_of(sequences.video_ids)
        known = rows != PAD_ROW
        users = np.repeat(np.arange(len(sequences)), sequences.lengths())[known]
        self._config = config
        self._length = history_length
        self._user_ids = sequences.user_ids
        self._rows = rows[known]
        self._actions = sequences.actions[known]
        self._times = sequences.times_us[known]
        self._offsets = np.searchsorted(users, np.arange(len(sequences) + 1))
        self._first, self._weights = _targets_of(users, self._rows, self._actions, config.weak_weight)
        self._users = np.flatnonzero(np.bincount(users, self._weights > 0, len(sequences)) >= 2)

    @property
    def num_users(self) -> int:
        """Users that an epoch passes over."""
        return len(self._users)

    @property
    def num_batches(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._users) // self._config.batch_size)

    def epoch(self, random: np.random.Generator) -> Iterator[Batch]:
        """Every user once, in an order and with hidden videos of its own."""
        size = self._config.batch_size
        order = random.permutation(self._users)
        lengths = self._offsets[order + 1] - self._offsets[order]
        bucket = np.arange(len(order)) // (size * BATCHES_PER_BUCKET)
        order = order[np.lexsort((lengths, bucket))]
        for place in random.permutation(self.num_batches):
            yield self.make(order[place * size : (place + 1) * size], random)

    def make(self, users: Int64[np.ndarray, " B"], random: np.random.Generator) -> Batch:
        """One batch of the users at these indices."""
        ends = self._offsets[users + 1]
        width = int((ends - self._offsets[users]).max())
        flat = ends[:, None] + np.arange(-width, 0)  # (B, S)
        real = flat >= self._offsets[users][:, None]
        flat = np.where(real, flat, 0)
        first = flat == self._first[flat]
        share = random.uniform(self._config.hide_share_min, self._config.hide_share_max, (len(users), 1))
        lots = random.random(flat.shape)
        hidden = choose_hidden(lots, real & first & (self._weights[flat] > 0), share)

        leads = self._first[flat] - (ends[:, None] - width)  # column of the first watch of the same video
        visible = real & ~np.take_along_axis(hidden, leads.clip(min=0), axis=1)
        kept = np.argsort(visible, axis=1, kind="stable")[:, -self._length :]  # padding first, then by time
        visible = np.take_along_axis(visible, kept, axis=1)
        past = np.take_along_axis(flat, kept, axis=1)
        ages = (self._times[ends - 1][:, None] - self._times[past]) / MICROSECONDS_PER_DAY
        target_users, columns = np.nonzero(hidden)
        targets = flat[target_users, columns]
        return Batch(
            self._user_ids[users],
            np.where(visible, self._rows[past], PAD_ROW),
            np.where(visible, self._actions[past], 0),
            np.where(visible, ages, 0).astype(np.float32),
            target_users,
            self._rows[targets],
            self._weights[targets],
        )


def choose_hidden(
    lots: Float32[np.ndarray, "B S"] | np.ndarray, eligible: Bool[np.ndarray, "B S"], share: np.ndarray
) -> Bool[np.ndarray, "B S"]:
    """Hide eligible places whose lot is below ``share``; at least one is hidden and one is not.

    Args:
        lots: uniform in [0, 1).
        eligible: at least two places per user.
        share: (B, 1).
    """
    lots = np.where(eligible, lots, np.inf)
    hidden = lots < share
    users = np.arange(len(lots))
    hidden[users, lots.argmin(axis=1)] = True
    hidden[users, np.where(eligible, lots, -np.inf).argmax(axis=1)] = False
    return hidden


def _targets_of(
    users: Int64[np.ndarray, " W"],
    rows: Int64[np.ndarray, " W"],
    actions: Int64[np.ndarray, " W"],
    weak_weight: float,
) -> tuple[Int64[np.ndarray, " W"], Float32[np.ndarray, " W"]]:
    """Of every watch: index of the user's first watch of that video, and its weight as a target.

    A video weighs 1 if any watch was positive, 0 if any was disliked or all were skipped.
    """
    _, first, group = np.unique(
        users * (rows.max(initial=0) + 1) + rows, return_index=True, return_inverse=True
    )
    any_of = lambda bit: np.bincount(group, actions & bit.value)[group] > 0  # noqa: E731
    plain = np.bincount(group, (actions & Action.QUICK_SKIP.value) == 0)[group] > 0
    weights = np.where(any_of(Action.POSITIVE), 1.0, np.where(plain, weak_weight, 0.0))
    weights = np.where(any_of(Action.DISLIKED), 0.0, weights)
    return first[group], weights.astype(np.float32)
