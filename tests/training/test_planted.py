"""Interests against planted topics: three topics with two tags each, every match worked out by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.settings import Settings
from training.catalogue import Catalogue
from training.dataset import IdLists
from training.planted import Planted, match_interests, topic_shares

TOPIC_OF_TAG = np.array([0, 0, 1, 1, 2, 2])
CATALOGUE = Catalogue(
    np.array([10, 20, 30]),
    np.array([1, 1, 1]),
    IdLists(np.array([10, 20, 30]), np.array([0, 2, 3, 5]), np.array([0, 1, 2, 4, 0])),
)
"""Video 10 is all topic 0, 20 all topic 1, 30 half topic 2 and half topic 0."""


def planted(*users: list[int]) -> Planted:
    ids = np.array([topic for topics in users for topic in topics], dtype=np.int64)
    bounds = np.cumsum([0, *(len(topics) for topics in users)])
    return Planted(IdLists(np.arange(1, len(users) + 1), bounds, ids), TOPIC_OF_TAG, 3)


def test_an_interest_is_what_its_hits_are_tagged_with() -> None:
    found = np.array([[[10, 30, -1], [20, -1, -1], [30, -1, -1]]])
    searched = np.array([[True, True, False]])
    shares = topic_shares(found, searched, CATALOGUE, planted([0]))
    np.testing.assert_allclose(shares, [[[0.75, 0, 0.25], [0, 1, 0], [0, 0, 0]]])


def test_interests_are_assigned_for_the_greatest_total_share() -> None:
    # Greedily interest 0 takes topic 0 (.6) and leaves interest 1 topic 1 (.0); together .5 + .4 is more.
    shares = np.array([[[0.6, 0.5, 0.0], [0.4, 0.0, 0.6]]])
    match = match_interests(np.array([1]), shares, planted([0, 1]))
    assert match.share.tolist() == pytest.approx([0.45])
    assert (match.num_hits.tolist(), match.num_wrong.tolist(), match.num_missing.tolist()) == ([2], [0], [0])


def test_weak_and_surplus_interests_are_wrong_and_unmatched_topics_missing() -> None:
    # User 1: topic 0 is hit, the second interest has no topic left. User 2: .2 is too weak for topic 2, and
    # topic 1 has no interest, since only one was searched.
    shares = np.array([[[0.9, 0.1, 0.0], [0.5, 0.5, 0.0]], [[0.8, 0.0, 0.2], [0.0, 0.0, 0.0]]])
    match = match_interests(np.array([1, 2]), shares, planted([0], [1, 2]))
    assert match.num_planted.tolist() == [1, 2]
    assert match.num_hits.tolist() == [1, 0]
    assert match.num_wrong.tolist() == [1, 1]
    assert match.num_missing.tolist() == [0, 2]
    assert match.share.tolist() == pytest.approx([0.9, 0.2])


def test_shuffling_gives_everybody_the_topics_of_one_user() -> None:
    before = planted([0, 1], [2], [1])
    after = before.shuffled(3).topics
    lists = [after.ids[after.offsets[i] : after.offsets[i + 1]].tolist() for i in range(3)]
    assert sorted(lists) == [[0, 1], [1], [2]]
    assert lists != [[0, 1], [2], [1]]


def test_the_topics_are_those_of_the_day(settings: Settings) -> None:
    settings.truth.mkdir(parents=True)
    users = {"user_id": [5, 4, 5], "day": ["2026-01-01", "2026-01-01", "2026-01-03"]}
    pq.write_table(pa.table(users | {"topics": [[0], [1, 2], [2, 0]]}), settings.truth / "users.parquet")
    tags = pa.table({"tag_id": [0, 1, 2], "topic": [0, 1, 2]})
    pq.write_table(tags, settings.truth / "tags.parquet")
    for day, topics in (("2026-01-02", [1, 2, 0]), ("2026-01-03", [1, 2, 2, 0])):
        found = Planted.read(settings, day)
        assert (found.topics.keys.tolist(), found.topics.ids.tolist()) == ([4, 5], topics)
        assert found.num_topics == 3
