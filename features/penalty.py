"""What a dislike takes from other videos: of the same uploader, and of the same tags, fading with time.

The disliked video itself is never shown again (``features/history.py``, ``user_seen``). Dislikes are read
from the history, so one that was pushed a moment ago counts in the next recall, and offline lists know the
same.

Shape letters: B users, C candidates, W dislikes of one user, T most tags of one video.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from jaxtyping import Bool, Float, Int64

from features.arrange import NO_TAG, NO_UPLOADER, FactsOf, VideoFacts
from features.history import MICROSECONDS_PER_DAY, History
from features.merge import Merged
from features.merge_config import Penalty
from features.positives import Action


def is_disliked(history: History) -> Bool[np.ndarray, " W"]:
    """Which watches of a history were disliked."""
    return (np.asarray(history.actions, dtype=np.int64) & Action.DISLIKED.value) != 0


def penalties_of(
    candidates: Merged, histories: Sequence[History], facts_of: FactsOf, config: Penalty, now: datetime
) -> Float[np.ndarray, "B C"] | None:
    """What each candidate loses of its worth; ``None`` if nobody disliked anything.

    A candidate loses ``uploader_penalty`` and ``tag_penalty``, each times 2 ** (-age / half-life) of the
    newest dislike that shares the uploader, or a tag, with it.

    Args:
        histories: of the users of ``candidates``, in their order.
        now: ages are counted from here; a dislike after it has age 0.
    """
    disliked = [is_disliked(history) for history in histories]
    users = [user for user, own in enumerate(disliked) if own.any()]
    if not users or not config.is_set or not candidates.video_ids.size:
        return None
    found = np.zeros(candidates.video_ids.shape)
    now_us = int(now.timestamp() * 1_000_000)
    for user in users:
        history, own = histories[user], disliked[user]
        elapsed = now_us - np.asarray(history.event_times, dtype=np.int64)[own]
        half_lives = elapsed.clip(min=0) / MICROSECONDS_PER_DAY / config.penalty_half_life_days
        theirs = facts_of(np.asarray(history.video_ids, dtype=np.int64)[own][None], False)
        facts = facts_of(candidates.video_ids[user][None], False)
        found[user] = _of_user(facts, theirs, np.exp2(-half_lives), config)
    return found


def _of_user(
    facts: VideoFacts, theirs: VideoFacts, weights: Float[np.ndarray, " W"], config: Penalty
) -> Float[np.ndarray, " C"]:
    uploaders, tags = facts.uploaders[0], facts.tags[0]
    loss = config.uploader_penalty * _strongest(uploaders, theirs.uploaders[0], weights, NO_UPLOADER)
    by_tag = np.repeat(weights, theirs.tags.shape[2])
    of_tags = _strongest(tags.ravel(), theirs.tags[0].ravel(), by_tag, NO_TAG)
    return loss + config.tag_penalty * of_tags.reshape(tags.shape).max(axis=1)


def _strongest(
    asked: Int64[np.ndarray, " N"],
    disliked: Int64[np.ndarray, " M"],
    weights: Float[np.ndarray, " M"],
    unknown: int,
) -> Float[np.ndarray, " N"]:
    """For each id the largest weight that it has among the disliked ones, 0 for others and unknown ones."""
    ids, places = np.unique(disliked, return_inverse=True)
    best = np.zeros(len(ids))
    np.maximum.at(best, places, np.where(disliked == unknown, 0.0, weights))
    found = np.searchsorted(ids, asked).clip(max=len(ids) - 1)
    return np.where(ids[found] == asked, best[found], 0.0)
