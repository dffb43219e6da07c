"""How many interests a user gets: rarely activated interests are pruned before the search.

Shape letters: B users, K interests.
"""

import numpy as np
from jaxtyping import Bool, Float

DEFAULT_MIN_SHARE = 0.05
"""An interest that won fewer of the user's positives than this share is not searched."""


def keep_active(
    activation: Float[np.ndarray, "B K"], min_share: float = DEFAULT_MIN_SHARE
) -> Bool[np.ndarray, "B K"]:
    """Which interests stay: share of activations at least ``min_share``, and always the most active one.

    A user without any activation (no positives in the history) keeps all interests.
    """
    total = activation.sum(axis=1, keepdims=True)
    share = activation / np.where(total > 0, total, 1)
    keep = (share >= min_share) | (share == share.max(axis=1, keepdims=True))
    return np.where(total > 0, keep, True)
