"""Users by the length and by the variety of their histories."""

import math

import numpy as np
import pytest

from features.positives import Action
from training.catalogue import Catalogue
from training.dataset import IdLists, Sequences
from training.groups import group_users, history_lengths, tag_entropies

YES, NO = Action.POSITIVE.value, Action.QUICK_SKIP.value
# Video 0 has tags 1 and 2; video v from 1 on has the tag 10 + v; video 99 has none.
VIDEOS = np.array([*range(40), 99])
TAGS = IdLists(VIDEOS, np.array([0, *range(2, 42), 41]), np.array([1, 2, *range(11, 50)]))
CATALOGUE = Catalogue(VIDEOS, VIDEOS, TAGS)


def sequences(histories: dict[int, list[tuple[int, int]]]) -> Sequences:
    """Histories of ``(video, actions)``."""
    sizes = [len(watches) for watches in histories.values()]
    flat = [watch for watches in histories.values() for watch in watches]
    videos, actions = np.array(flat).reshape(-1, 2).T
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Sequences(np.array(list(histories)), offsets, videos, actions, np.zeros(len(flat), dtype=np.int64))


def test_histories_count_watches_of_any_outcome() -> None:
    histories = sequences({3: [(1, YES), (2, NO), (99, NO)], 8: [(1, NO)]})
    assert history_lengths(histories, np.array([8, 5, 3])).tolist() == [1, 0, 3]


def test_entropy_is_of_the_tags_of_positives() -> None:
    histories = sequences(
        {
            1: [(1, YES), (2, YES), (3, NO)],  # two tags, as often: 1 bit
            2: [(1, YES), (1, YES), (1, YES)],  # one tag: 0 bits
            # Video 0 gives half to tags 1 and 2 each, video 5 one to tag 15: 1/4, 1/4, 1/2.
            3: [(0, YES), (5, YES)],
            4: [(7, NO)],  # no positive
            5: [(99, YES)],  # no tag
            6: [(1000, YES), (1, YES)],  # a video outside the snapshot has no tags
        }
    )
    expected = [1.0, 0.0, 0.25 * 2 + 0.25 * 2 + 0.5 * 1, math.nan, math.nan, 0.0, math.nan]
    found = tag_entropies(histories, TAGS, np.array([1, 2, 3, 4, 5, 6, 7]))
    assert found.tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("num_watches", "label"),
    [
        (0, "0"),
        (1, "1-9"),
        (9, "1-9"),
        (10, "10-29"),
        (29, "10-29"),
        (30, "30-99"),
        (99, "30-99"),
        (100, "100"),
    ],
)
def test_histories_are_grouped_by_length(num_watches: int, label: str) -> None:
    histories = sequences({1: [(99, NO)] * num_watches, 2: [(1, YES)]})
    grouping = group_users(histories, CATALOGUE, np.array([1]))["history"]
    assert [grouping.labels[place] for place in grouping.places] == [label]


@pytest.mark.parametrize(
    ("num_tags", "label"),
    # n tags as often are log2(n) bits.
    [(1, "0-2 bits"), (3, "0-2 bits"), (4, "2-3 bits"), (8, "3-4 bits"), (16, "4 bits and more")],
)
def test_users_are_grouped_by_the_variety_of_their_tags(num_tags: int, label: str) -> None:
    histories = sequences({1: [(video, YES) for video in range(1, num_tags + 1)]})
    grouping = group_users(histories, CATALOGUE, np.array([1]))["tag_entropy"]
    assert [grouping.labels[place] for place in grouping.places] == [label]


def test_users_without_history_or_tags_are_groups_of_their_own() -> None:
    histories = sequences({1: [(99, YES)], 2: [(1, NO)]})
    grouping = group_users(histories, CATALOGUE, np.array([1, 2, 3]))["tag_entropy"]
    assert [grouping.labels[place] for place in grouping.places] == ["no tags", "no tags", "no history"]
