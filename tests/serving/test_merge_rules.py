"""What a user dislikes or was shown often enough, and users of whom little can be said, over five videos.

Vectors, tags and uploaders are those of ``bundles.py``; scores as in ``test_recall.py``.
"""

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest

from features.impressions import add_shown, nothing_shown, shown_on
from features.merge_config import Arrangement, ImpressionCap, MergeConfig, Penalty
from features.positives import Action
from features.settings import Settings
from features.user_features import UserFeatures
from serving.recall import Recaller
from serving.result import Reason
from tests.serving.bundles import TAGS, VIDEO_IDS
from tests.serving.test_recall import BOTH, listed, recaller
from tests.serving.users import NOW, POSITIVE, user

DISLIKED = int(Action.DISLIKED)
TWICE = MergeConfig(cap=ImpressionCap(max_shown=2))


def shown(one: UserFeatures, *answers: list[int]) -> UserFeatures:
    """The same user, who was shown these answers today."""
    return replace(one, shown=add_shown(nothing_shown(), [shown_on(answer, NOW) for answer in answers]))


def serving(settings: Settings, merge: MergeConfig, *users: UserFeatures) -> Recaller:
    served = recaller(Settings(home=settings.root / uuid4().hex), *users)
    served.release = replace(served.release, merge=merge)
    return served


def test_a_dislike_moves_the_videos_of_its_uploader_and_its_tags_down(settings: Settings) -> None:
    # Worth 1 for 30, .67 for 40 and 0 for 50. 10 was disliked 3 hours ago: nearly .6 of 30 (uploader 7 and
    # tag 1) and .1 of 50 (tag 1) are lost. What the newest two watches find stays the same.
    one = user(1, [(10, DISLIKED), *BOTH])
    assert listed(serving(settings, MergeConfig(), one).recall(1, 3).candidates) == [
        (40, 1),
        (30, 0),
        (50, 0),
    ]
    assert listed(serving(settings, MergeConfig(), one).recall(1, 1).candidates) == [(40, 1)]
    off = MergeConfig(penalty=Penalty(uploader_penalty=0.0, tag_penalty=0.0))
    assert listed(serving(settings, off, one).recall(1, 3).candidates) == [(30, 0), (40, 1), (50, 0)]


def test_what_was_shown_often_enough_comes_only_where_nothing_else_is_left(settings: Settings) -> None:
    often = shown(user(1, BOTH), [30, 40], [30])
    found = serving(settings, TWICE, often)
    assert listed(found.recall(1, 2).candidates) == [(40, 1), (50, 0)]
    whole = found.recall(1, 3)
    assert (listed(whole.candidates), whole.reason) == ([(40, 1), (50, 0), (30, -1)], Reason.SHORT_LIST)
    thrice = MergeConfig(cap=ImpressionCap(max_shown=3))
    assert listed(serving(settings, thrice, often).recall(1, 2).candidates) == [(30, 0), (40, 1)]


def test_popular_videos_are_capped_too_and_what_was_seen_stays_away(settings: Settings) -> None:
    stranger = shown(user(1, seen=[20]), [10, 20], [10, 20])
    result = serving(settings, TWICE, stranger).recall(1, 9)
    assert [c.video_id for c in result.candidates] == [30, 40, 50, 10]
    assert result.reason is Reason.NO_HISTORY
    excluding = serving(settings, TWICE, stranger).recall(1, 9, exclude=[10])
    assert [c.video_id for c in excluding.candidates] == [30, 40, 50]


ALL = VIDEO_IDS.tolist()
TAGS_OF = dict(zip(ALL, TAGS, strict=True))
ODD = {
    "no history": user(1),
    "only dislikes": user(1, [(10, DISLIKED), (20, DISLIKED)]),
    "only unknown videos": user(1, [(777, POSITIVE)]),
    "everything disliked but one": user(1, [(video, DISLIKED) for video in ALL[:4]]),
    "everything shown too often": shown(user(1, BOTH), ALL, ALL),
    "everything seen but one": user(1, BOTH, seen=ALL[:4]),
}


@pytest.mark.parametrize("one", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize(
    "arrangement",
    [Arrangement(), Arrangement(max_per_tag=1, vector_diversity=0.5)],
    ids=["plain", "arranged"],
)
@pytest.mark.parametrize("top_n", [1, 3, 1000])
def test_nobody_is_shown_nothing(
    settings: Settings, one: UserFeatures, arrangement: Arrangement, top_n: int
) -> None:
    served = serving(settings, TWICE, one)
    result = served.recall(1, top_n, arrangement=arrangement)
    ids = [candidate.video_id for candidate in result.candidates]
    may_be_shown = set(ALL) - set(one.seen.tolist())
    assert set(ids) <= may_be_shown
    assert 1 <= len(ids) == len(set(ids)) <= top_n
    shown_tags = [tag for candidate in result.candidates for tag in candidate.tags]
    fitting = may_be_shown - set(ids)
    if arrangement.max_per_tag:
        assert len(shown_tags) == len(set(shown_tags))
        fitting = {video for video in fitting if not set(TAGS_OF[video]) & set(shown_tags)}
    assert len(ids) == top_n or not fitting, "the list is short only where nothing else may stand in it"
    assert result.reason is not None or len(ids) == top_n
    again = served.recall(1, top_n, arrangement=arrangement)
    assert [(c.video_id, c.score) for c in again.candidates] == [
        (c.video_id, c.score) for c in result.candidates
    ]
    assert np.isfinite([c.score for c in result.candidates]).all()
