"""Weights of targets, by user and video, on watches that can be counted by eye."""

import numpy as np

from features.positives import Action
from training.config import ActionWeights
from training.target_weights import WatchedVideos, weigh_videos

POSITIVE, PLAIN, SKIP = int(Action.POSITIVE), 0, int(Action.QUICK_SKIP)


def weighed(*watches: tuple[int, int, int], **factors: float) -> WatchedVideos:
    """Of (user, row, action)."""
    users, rows, actions = (np.array(column) for column in zip(*watches, strict=True))
    return weigh_videos(users, rows, actions, weak_weight=0.3, action_weights=ActionWeights(**factors))


def test_the_best_watch_of_a_video_decides_unless_it_was_disliked() -> None:
    found = weighed(
        (0, 1, PLAIN),
        (0, 1, POSITIVE),
        (0, 2, SKIP),
        (0, 2, PLAIN),
        (0, 3, POSITIVE),
        (0, 3, int(Action.DISLIKED)),
    )
    np.testing.assert_allclose(found.weights, [1, 1, 0.3, 0.3, 0, 0], rtol=1e-6)
    assert found.is_turned_down.tolist() == [False] * 4 + [True] * 2
    assert found.is_first.tolist() == [True, False] * 3


def test_a_video_that_one_user_always_skipped_is_turned_down_by_that_user_alone() -> None:
    found = weighed((0, 1, SKIP), (0, 1, SKIP), (1, 1, SKIP), (1, 1, PLAIN))
    assert found.is_turned_down.tolist() == [True, True, False, False]
    np.testing.assert_allclose(found.weights, [0, 0, 0.3, 0.3], rtol=1e-6)


def test_actions_raise_the_weight_and_the_largest_counts() -> None:
    liked, both = int(Action.LIKED), int(Action.POSITIVE | Action.LIKED | Action.FOLLOWED)
    found = weighed((0, 1, liked), (0, 2, both), (0, 3, POSITIVE), (0, 4, liked | SKIP), like=2, follow=3)
    np.testing.assert_allclose(found.weights, [0.6, 3, 1, 0], rtol=1e-6)
