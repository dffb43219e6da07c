"""Users by what is known of them: figures that hold on average may hide who is served badly.

Both groupings look at the history that a model sees, and at nothing after the judged days begin. The bounds
are fixed, so that a group means the same for every model, window and log.

Shape letters: B users.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float, Int64

from features.history import HISTORY_LENGTH
from features.positives import Action
from training.catalogue import Catalogue
from training.dataset import IdLists, Sequences

HISTORY_STARTS: Final = (0, 1, 10, 30, HISTORY_LENGTH)
"""First number of watches of each group; the last one is a history that is full."""
ENTROPY_STARTS: Final = (0.0, 2.0, 3.0, 4.0)
"""First entropy of each group in bits: as of fewer than 4, 4 to 8, 8 to 16 and more equally frequent tags."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """One way to part the users: ``places`` holds the group of each, counted in ``labels``."""

    labels: tuple[str, ...]
    places: Int64[np.ndarray, " B"]


def group_users(
    histories: Sequences, catalogue: Catalogue, user_ids: Int64[np.ndarray, " B"]
) -> dict[str, Grouping]:
    """The groupings by name: ``history`` (watches in it) and ``tag_entropy`` (of its positives)."""
    lengths = history_lengths(histories, user_ids)
    return {
        "history": _by_length(lengths),
        "tag_entropy": _by_entropy(lengths, tag_entropies(histories, catalogue.tags, user_ids)),
    }


def history_lengths(histories: Sequences, user_ids: Int64[np.ndarray, " B"]) -> Int64[np.ndarray, " B"]:
    """Watches in the history of each user, of any outcome."""
    users, _ = IdLists(histories.user_ids, histories.offsets, histories.video_ids).pairs(user_ids)
    return np.bincount(users, minlength=len(user_ids))


def tag_entropies(
    histories: Sequences, tags: IdLists, user_ids: Int64[np.ndarray, " B"]
) -> Float[np.ndarray, " B"]:
    """Entropy in bits of the tags of each user's positives; NaN without a positive that has a tag.

    A positive weighs the same however many tags it has: each gets an equal part of it.
    """
    users, videos = IdLists(histories.user_ids, histories.offsets, histories.video_ids).pairs(user_ids)
    _, actions = IdLists(histories.user_ids, histories.offsets, histories.actions).pairs(user_ids)
    is_positive = (actions & Action.POSITIVE.value) != 0
    users = users[is_positive]
    positives, tag_ids = tags.pairs(videos[is_positive])
    parts = 1 / np.bincount(positives, minlength=1)[positives]

    different, dense = np.unique(tag_ids, return_inverse=True)
    pairs, pair_of = np.unique(users[positives] * max(len(different), 1) + dense, return_inverse=True)
    mass = np.bincount(pair_of, weights=parts, minlength=len(pairs))
    owners = pairs // max(len(different), 1)
    total = np.bincount(owners, weights=mass, minlength=len(user_ids))
    shares = mass / total[owners]
    entropies = np.bincount(owners, weights=-shares * np.log2(shares), minlength=len(user_ids))
    return np.where(total > 0, entropies, np.nan)


def _by_length(lengths: Int64[np.ndarray, " B"]) -> Grouping:
    bounds = pairwise(HISTORY_STARTS)
    labels = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in bounds]
    labels.append(str(HISTORY_STARTS[-1]))
    return Grouping(tuple(labels), np.searchsorted(HISTORY_STARTS, lengths, side="right") - 1)


def _by_entropy(lengths: Int64[np.ndarray, " B"], entropies: Float[np.ndarray, " B"]) -> Grouping:
    bounds = pairwise(ENTROPY_STARTS)
    labels = ["no history", "no tags", *(f"{a:g}-{b:g} bits" for a, b in bounds)]
    labels.append(f"{ENTROPY_STARTS[-1]:g} bits and more")
    # Rounding may leave an entropy of one tag just below 0.
    places = np.searchsorted(ENTROPY_STARTS, entropies.clip(min=0), side="right") + 1
    places = np.where(np.isnan(entropies), 1, places)
    return Grouping(tuple(labels), np.where(lengths == 0, 0, places))
