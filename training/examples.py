"""Training examples out of memory-resident sequences: what predicts what.

===============  =====================================================================================
objective        history -> targets
===============  =====================================================================================
``set_to_set``   a random share of a user's videos is hidden, the rest must predict it, wherever it lies in
                 time; every video is hidden as a whole, under all its watches
``horizon``      watches before a random cut -> positives of the days after it that were not watched before:
                 the all-action loss of PinnerFormer (Pancha et al., KDD 2022, section 3.3)
``next_item``    every prefix -> the positive that comes next
===============  =====================================================================================

What follows what says little about a week; what goes with what says more (docs/decisions/0003). Plain plays
are weak targets, of ``set_to_set`` alone. Skips and dislikes are never targets and stay visible; with a
``negative_weight`` the same share of them is hidden as of the targets, to be ranked below these. Ages count
from the user's newest watch.

Shape letters: U users, W watches of all users, B users of a batch, S widest sequence of the batch,
L history length, T targets of the batch, N videos turned down that the batch hides,
P attributes of users.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from features.history import MICROSECONDS_PER_DAY
from features.positives import Action
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.config import InterestConfig
from training.dataset import Sequences
from training.target_weights import weigh_videos

BATCHES_PER_BUCKET: Final = 32
"""Users are shuffled, then sorted by length within so many batches: little padding, still random."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Visible histories and targets of B users; targets are flat."""

    user_ids: Int64[np.ndarray, " B"]
    video_rows: Int64[np.ndarray, "B L"]
    actions: Int64[np.ndarray, "B L"]
    age_days: Float32[np.ndarray, "B L"]
    target_users: Int64[np.ndarray, " T"]
    """Place in the batch."""
    target_rows: Int64[np.ndarray, " T"]
    target_weights: Float32[np.ndarray, " T"]
    target_places: Int64[np.ndarray, " T"] | None = None
    """Column of the last watch that may predict the target; ``None``: the whole history."""
    turned_down_users: Int64[np.ndarray, " N"] | None = None
    """Place in the batch of who turned down which hidden video; ``None``: not asked for."""
    turned_down_rows: Int64[np.ndarray, " N"] | None = None
    profile: Int64[np.ndarray, "B P"] | None = None
    """Rows of the users' attributes, for networks that read them."""


@dataclass(frozen=True, slots=True)
class Window:
    """Sequences of B users side by side, padded on the left."""

    users: Int64[np.ndarray, " B"]
    watches: Int64[np.ndarray, "B S"]
    """Index of each watch in the flat arrays; any where there is none."""
    real: Bool[np.ndarray, "B S"]


class Examples(ABC):
    """Makes batches out of sequences, other ones in every pass.

    Args:
        sequences: users without a possible target are left out.
        profile: rows of the attributes of the users of ``sequences``.
    """

    fewest_targets: ClassVar[int] = 1
    """Possible targets that a user must have."""

    def __init__(
        self,
        sequences: Sequences,
        vocabulary: Vocabulary,
        config: InterestConfig,
        profile: Int64[np.ndarray, "U P"] | None = None,
    ) -> None:
        rows = vocabulary.rows_of(sequences.video_ids)
        known = rows != PAD_ROW
        users = np.repeat(np.arange(len(sequences)), sequences.lengths())[known]
        self._config = config
        self._length = config.history_length
        self._user_ids = sequences.user_ids
        self._profile = profile
        self._rows = rows[known]
        self._actions = sequences.actions[known]
        self._times = sequences.times_us[known]
        self._offsets = np.searchsorted(users, np.arange(len(sequences) + 1))
        self._videos = weigh_videos(
            users,
            self._rows,
            self._actions,
            weak_weight=config.weak_weight if config.objective == "set_to_set" else 0.0,
            action_weights=config.action_weights,
        )
        self._is_target = self._possible_targets()
        eligible = np.bincount(users, self._is_target, len(sequences))
        self._users = np.flatnonzero(eligible >= self.fewest_targets)

    @property
    def num_users(self) -> int:
        """Users that an epoch passes over."""
        return len(self._users)

    @property
    def num_batches(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._users) // self._config.batch_size)

    def target_counts(self, num_rows: int) -> Float[np.ndarray, " R"]:
        """How often each row is a possible target; a weak one comes as often as a positive."""
        return np.bincount(self._rows[self._is_target], minlength=num_rows).astype(np.float64)

    def epoch(self, random: np.random.Generator) -> Iterator[Batch]:
        """Every user once, in an order of its own."""
        size = self._config.batch_size
        order = random.permutation(self._users)
        lengths = self._offsets[order + 1] - self._offsets[order]
        bucket = np.arange(len(order)) // (size * BATCHES_PER_BUCKET)
        order = order[np.lexsort((lengths, bucket))]
        for place in random.permutation(self.num_batches):
            yield self.make(order[place * size : (place + 1) * size], random)

    @abstractmethod
    def make(self, users: Int64[np.ndarray, " B"], random: np.random.Generator) -> Batch:
        """One batch of the users at these indices."""

    def _possible_targets(self) -> Bool[np.ndarray, " W"]:
        """The first watch of each video that could be a target."""
        return self._videos.is_first & (self._videos.weights > 0)

    def _new_positives(self) -> Bool[np.ndarray, " W"]:
        """Positives of videos not watched before, by users who watched something before."""
        has_past = np.ones(len(self._rows), dtype=bool)
        has_past[self._offsets[:-1][np.diff(self._offsets) > 0]] = False
        own = Examples._possible_targets(self)
        return own & has_past & ((self._actions & Action.POSITIVE.value) > 0)

    def _window(self, users: Int64[np.ndarray, " B"]) -> Window:
        ends = self._offsets[users + 1]
        width = int((ends - self._offsets[users]).max())
        watches = ends[:, None] + np.arange(-width, 0)  # (B, S)
        real = watches >= self._offsets[users][:, None]
        return Window(users, np.where(real, watches, 0), real)

    def _batch(
        self,
        window: Window,
        visible: Bool[np.ndarray, "B S"],
        targets: Bool[np.ndarray, "B S"],
        *,
        sees_prefixes: bool = False,
    ) -> Batch:
        """The newest visible watches as histories, and the chosen targets.

        Args:
            sees_prefixes: each target is predicted from the visible watches before it; targets whose place
                before is cut off are left out.
        """
        kept = np.argsort(visible, axis=1, kind="stable")[:, -self._length :]  # padding first, then by time
        shown = np.take_along_axis(visible, kept, axis=1)
        past = np.take_along_axis(window.watches, kept, axis=1)
        newest = np.where(visible, self._times[window.watches], np.iinfo(np.int64).min).max(axis=1)
        ages = (newest[:, None] - self._times[past]) / MICROSECONDS_PER_DAY
        users, columns = np.nonzero(targets)
        places = None
        if sees_prefixes:
            after = visible[:, ::-1].cumsum(axis=1)[:, ::-1]  # visible watches from this one on
            places = kept.shape[1] - after[users, columns] - 1
            inside = places >= (kept.shape[1] - shown.sum(axis=1))[users]
            users, columns, places = users[inside], columns[inside], places[inside]
        chosen = window.watches[users, columns]
        return Batch(
            self._user_ids[window.users],
            np.where(shown, self._rows[past], PAD_ROW),
            np.where(shown, self._actions[past], 0),
            np.where(shown, ages, 0).astype(np.float32),
            users,
            self._rows[chosen],
            self._videos.weights[chosen],
            places,
            profile=None if self._profile is None else self._profile[window.users],
        )


class HiddenSets(Examples):
    """``set_to_set``: each user of a batch has a hidden and a visible video that could have been hidden."""

    fewest_targets = 2

    def make(self, users: Int64[np.ndarray, " B"], random: np.random.Generator) -> Batch:
        """See ``Examples``."""
        window = self._window(users)
        eligible = window.real & self._is_target[window.watches]
        share = random.uniform(self._config.hide_share_min, self._config.hide_share_max, (len(users), 1))
        lots = random.random(eligible.shape)
        hidden = choose_hidden(lots, eligible, share)
        if not self._config.negative_weight:
            return self._batch(window, self._visible(window, hidden), hidden)
        refusable = self._videos.is_first & self._videos.is_turned_down
        refused = window.real & refusable[window.watches] & (lots < share)
        batch = self._batch(window, self._visible(window, hidden | refused), hidden)
        refusing, columns = np.nonzero(refused)
        rows = self._rows[window.watches[refusing, columns]]
        return replace(batch, turned_down_users=refusing, turned_down_rows=rows)

    def _visible(self, window: Window, hidden: Bool[np.ndarray, "B S"]) -> Bool[np.ndarray, "B S"]:
        """Every watch but those of hidden videos; ``hidden`` marks the first watch of each."""
        starts = self._offsets[window.users + 1][:, None] - window.watches.shape[1]
        leads = self._videos.first[window.watches] - starts  # column of the first watch of the same video
        return window.real & ~np.take_along_axis(hidden, leads.clip(min=0), axis=1)


class Horizon(Examples):
    """``horizon``: each user is cut before one of the positives that could be a target."""

    def make(self, users: Int64[np.ndarray, " B"], random: np.random.Generator) -> Batch:
        """See ``Examples``."""
        window = self._window(users)
        eligible = window.real & self._is_target[window.watches]
        cut = np.where(eligible, random.random(eligible.shape), -1.0).argmax(axis=1)[:, None]
        after = np.arange(eligible.shape[1]) >= cut
        times = self._times[window.watches]
        last = np.take_along_axis(times, cut, axis=1) + self._config.horizon_days * MICROSECONDS_PER_DAY
        return self._batch(window, window.real & ~after, eligible & after & (times < last))

    def _possible_targets(self) -> Bool[np.ndarray, " W"]:
        return self._new_positives()


class NextItem(Examples):
    """``next_item`` for networks with a pass over all prefixes."""

    def make(self, users: Int64[np.ndarray, " B"], random: np.random.Generator) -> Batch:
        """See ``Examples``."""
        window = self._window(users)
        targets = window.real & self._is_target[window.watches]
        return self._batch(window, window.real, targets, sees_prefixes=True)

    def _possible_targets(self) -> Bool[np.ndarray, " W"]:
        return self._new_positives()


class NextItemOfOnePrefix(NextItem):
    """``next_item`` for the other networks: one prefix per user and pass."""

    def make(self, users: Int64[np.ndarray, " B"], random: np.random.Generator) -> Batch:
        """See ``Examples``."""
        window = self._window(users)
        eligible = window.real & self._is_target[window.watches]
        chosen = np.where(eligible, random.random(eligible.shape), -1.0).argmax(axis=1)[:, None]
        columns = np.arange(eligible.shape[1])
        return self._batch(window, window.real & (columns < chosen), columns == chosen)


def examples_for(
    sequences: Sequences,
    vocabulary: Vocabulary,
    config: InterestConfig,
    *,
    has_prefixes: bool,
    profile: Int64[np.ndarray, "U P"] | None = None,
) -> Examples:
    """The examples of the configured objective.

    Args:
        has_prefixes: the network has a pass over all prefixes.
        profile: rows of the attributes of the users of ``sequences``, for networks that read them.
    """
    next_item = NextItem if has_prefixes else NextItemOfOnePrefix
    kinds: dict[str, type[Examples]] = {"set_to_set": HiddenSets, "horizon": Horizon, "next_item": next_item}
    return kinds[config.objective](sequences, vocabulary, config, profile)


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
