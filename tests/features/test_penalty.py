"""What a dislike takes, worked out by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.arrange import NO_TAG, NO_UPLOADER, VideoFacts, arrange
from features.history import History
from features.merge import Merged
from features.merge_config import Arrangement, Penalty
from features.penalty import penalties_of
from features.positives import Action

NOW = datetime(2026, 3, 21, tzinfo=UTC)
LIST = Merged(np.array([[10, 11, 12, 13]]), np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[0, 0, 1, 1]]))
"""Worth 1, 2/3, 1/3 and 0."""
UPLOADERS = {10: 1, 11: 2, 12: 3, 90: 1, 91: NO_UPLOADER, 92: 2}
TAGS = {10: [5], 11: [5, 6], 12: [7], 90: [6], 91: [], 92: [8]}
PENALTY = Penalty(uploader_penalty=0.6, tag_penalty=0.4, penalty_half_life_days=7.0)


def facts(video_ids: np.ndarray, with_vectors: bool) -> VideoFacts:
    rows = video_ids.tolist()
    tags = [[(TAGS.get(video, []) + [NO_TAG] * 2)[:2] for video in row] for row in rows]
    uploaders = [[UPLOADERS.get(video, NO_UPLOADER) for video in row] for row in rows]
    return VideoFacts(np.array(uploaders), np.array(tags))


def disliked(*videos: int, days_ago: float = 0.0, actions: int = int(Action.DISLIKED)) -> History:
    time = int((NOW - timedelta(days=days_ago)).timestamp() * 1e6)
    return History(list(videos), [time] * len(videos), [actions] * len(videos))


def taken(history: History, config: Penalty = PENALTY) -> list[float] | None:
    found = penalties_of(LIST, [history], facts, config, NOW)
    return None if found is None else found[0].tolist()


def test_the_uploader_and_the_tags_of_a_disliked_video_count() -> None:
    # 90 is of uploader 1, as 10 is, and has tag 6, as 11 does; nothing is known of 13.
    assert taken(disliked(90)) == pytest.approx([0.6, 0.4, 0, 0])
    # 92 is of uploader 2, and nobody else has tag 8.
    assert taken(disliked(90, 92)) == pytest.approx([0.6, 1.0, 0, 0])


@pytest.mark.parametrize(("days", "share"), [(7.0, 0.5), (14.0, 0.25), (-3.0, 1.0)])
def test_a_dislike_fades(days: float, share: float) -> None:
    assert taken(disliked(90, days_ago=days)) == pytest.approx([0.6 * share, 0.4 * share, 0, 0])


def test_of_two_dislikes_the_newer_one_counts_and_they_do_not_add_up() -> None:
    old, new = disliked(90, days_ago=7.0), disliked(10)
    both = History(*([*a, *b] for a, b in zip(astuple(old), astuple(new), strict=True)))
    # Uploader 1 and tag 5 are of today, tag 6 of a week ago: 11 has both tags.
    assert taken(both) == pytest.approx([1.0, 0.4, 0, 0])


def astuple(history: History) -> tuple[list[int], list[int], list[int]]:
    return list(history.video_ids), list(history.event_times), list(history.actions)


def test_nothing_known_of_the_disliked_video_takes_nothing() -> None:
    assert taken(disliked(91, 777)) == [0, 0, 0, 0]


def test_who_disliked_nothing_loses_nothing() -> None:
    assert taken(disliked(90, actions=int(Action.QUICK_SKIP))) is None
    assert taken(History((), (), ())) is None
    assert taken(disliked(90), Penalty(uploader_penalty=0.0, tag_penalty=0.0)) is None


@pytest.mark.parametrize("config", [Arrangement(), Arrangement(max_per_uploader=9)], ids=["alone", "with"])
def test_lists_are_in_the_order_of_what_is_left(config: Arrangement) -> None:
    # 1 - .6 = .4, 2/3 - .4 = .27, 1/3, 0: the third overtakes the second.
    two = Merged(*(np.repeat(part, 2, axis=0) for part in (LIST.video_ids, LIST.scores, LIST.interests)))
    losses = penalties_of(two, [disliked(90), History((), (), ())], facts, PENALTY, NOW)
    found = arrange(two, facts, config, 3, losses)
    assert found.video_ids.tolist() == [[10, 12, 11], [10, 11, 12]]
    assert found.scores.tolist() == [[4.0, 2.0, 3.0], [4.0, 3.0, 2.0]]
    assert found.interests.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_a_short_list_stays_short() -> None:
    short = Merged(np.array([[10, 11, -1]]), np.array([[2.0, 1.0, -np.inf]]), np.array([[0, 1, -1]]))
    found = arrange(
        short,
        facts,
        Arrangement(),
        3,
        penalties_of(short, [disliked(90)], facts, Penalty(uploader_penalty=2.0), NOW),
    )
    assert found.video_ids.tolist() == [[11, 10, -1]]
