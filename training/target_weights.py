"""What each video of a user weighs as a target, and which of them the user turned down.

Shape letters: W watches of all users.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from features.positives import Action
from training.config import ActionWeights


@dataclass(frozen=True, slots=True)
class WatchedVideos:
    """Of every watch, what is true of the user and the video over all their watches."""

    first: Int64[np.ndarray, " W"]
    """Index of the user's first watch of the video."""
    weights: Float32[np.ndarray, " W"]
    """As a target: 1 if any watch was positive, less for a plain play, 0 if turned down."""
    is_turned_down: Bool[np.ndarray, " W"]
    """Disliked, or skipped quickly every time."""

    @property
    def is_first(self) -> Bool[np.ndarray, " W"]:
        """Which watches are the first of their user and video."""
        return self.first == np.arange(len(self.first))


def weigh_videos(
    users: Int64[np.ndarray, " W"],
    rows: Int64[np.ndarray, " W"],
    actions: Int64[np.ndarray, " W"],
    *,
    weak_weight: float,
    action_weights: ActionWeights,
) -> WatchedVideos:
    """Group the watches by user and video.

    Args:
        weak_weight: of a video that was played and neither positive, disliked nor always skipped.
        action_weights: factors; of several actions the largest counts.
    """
    _, first, group = np.unique(
        users * (rows.max(initial=0) + 1) + rows, return_index=True, return_inverse=True
    )
    any_of = lambda action: np.bincount(group, actions & action.value)[group] > 0  # noqa: E731
    is_played = np.bincount(group, (actions & Action.QUICK_SKIP.value) == 0)[group] > 0
    is_positive = any_of(Action.POSITIVE)
    is_turned_down = any_of(Action.DISLIKED) | ~(is_positive | is_played)
    factors: Float64[np.ndarray, " W"] = np.ones(len(actions))
    for action, factor in (
        (Action.LIKED, action_weights.like),
        (Action.FOLLOWED, action_weights.follow),
        (Action.SHARED, action_weights.share),
        (Action.COMMENTED, action_weights.comment),
    ):
        factors = np.where(any_of(action), np.maximum(factors, factor), factors)
    weights = np.where(is_turned_down, 0.0, np.where(is_positive, 1.0, weak_weight) * factors)
    return WatchedVideos(first[group], weights.astype(np.float32), is_turned_down)
