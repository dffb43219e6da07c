"""Lists arranged by hand: what variety buys, and what limits forbid."""

import numpy as np
import pytest

from features.arrange import LOOKED_AT, NO_TAG, NO_UPLOADER, FactsOf, Limits, VideoFacts, arrange
from features.merge import Merged
from features.merge_config import Arrangement

CANDIDATES = Merged(
    np.array([[10, 11, 12, 13, 14]]), np.array([[5.0, 4.5, 4.0, 3.0, 2.5]]), np.array([[0, 0, 1, 1, 0]])
)
"""Worth 1, .8, .6, .2 and 0."""
UPLOADERS = {10: 1, 11: 1, 12: 2, 13: 1, 14: NO_UPLOADER}
TAGS = {10: [1, 9], 11: [1], 12: [1, 9], 13: [2, 9], 14: [3]}
VECTORS = {10: [1.0, 0.0], 11: [1.0, 0.0], 12: [0.8, 0.6], 13: [0.0, 1.0], 14: [-1.0, 0.0]}


def facts_of(tags: dict[int, list[int]]) -> FactsOf:
    def facts(video_ids: np.ndarray, with_vectors: bool) -> VideoFacts:
        padded = [[(tags.get(video, []) + [NO_TAG] * 2)[:2] for video in row] for row in video_ids.tolist()]
        uploaders = [[UPLOADERS.get(video, NO_UPLOADER) for video in row] for row in video_ids.tolist()]
        vectors = [[VECTORS.get(video, [0.0, 0.0]) for video in row] for row in video_ids.tolist()]
        seen = np.array(vectors, dtype=np.float32) if with_vectors else None
        tags_of = np.array(padded, dtype=np.int64).reshape(*video_ids.shape, 2)
        return VideoFacts(np.array(uploaders, dtype=np.int64), tags_of, seen)

    return facts


def chosen(config: Arrangement, top_n: int, tags: dict[int, list[int]] = TAGS) -> list[int]:
    found = arrange(CANDIDATES, facts_of(tags), config, top_n)
    places = [video - 10 for video in found.video_ids[0].tolist() if video >= 0]
    assert found.scores[0, : len(places)].tolist() == CANDIDATES.scores[0, places].tolist()
    assert found.interests[0, : len(places)].tolist() == CANDIDATES.interests[0, places].tolist()
    assert (found.interests[0, len(places) :] == -1).all()
    return [place + 10 for place in places]


def test_nothing_set_leaves_the_list_as_it_is() -> None:
    assert chosen(Arrangement(), 3) == [10, 11, 12]
    assert chosen(Arrangement(category_diversity=0), 9) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("diversity", "expected"),
    [
        # After 10: 11 .8, 13 .2 + .2, 14 .2. After 11: 12 .6, 13 .2 + .4, a tie; the earlier one.
        (0.2, [10, 11, 12, 13]),
        # After 10: 11 .8, 13 .5. After 11: 12 .6, 13 .2 + .6 = .8, 14 .6. Then 12 .6 + .3, 14 0 + .9: a tie.
        (0.3, [10, 11, 13, 12]),
        # After 10: 11 .8, 13 .2 + .7 = .9, 14 .7. After 13: 11 1.5, 14 1.4. After 11: 12 1.3, 14 2.1.
        (0.7, [10, 13, 11, 14]),
    ],
)
def test_diversity_buys_other_categories(diversity: float, expected: list[int]) -> None:
    assert chosen(Arrangement(category_diversity=diversity), 4) == expected


def test_an_unknown_category_differs_from_none() -> None:
    # 12 and 13 win nothing: after 10, 14 has 0 + 1; then 11 .8 + 1; then 12 .6 and 13 .2.
    tags = {10: [1], 11: [1], 14: [3]}
    assert chosen(Arrangement(category_diversity=1.0), 5, tags) == [10, 14, 11, 12, 13]


def test_likeness_to_what_was_chosen_is_held_against_a_video() -> None:
    # At .5 the worth is half of (1, .8, .6, .2, 0) minus half of the largest cosine. After 10, 11 .4 - .5,
    # 12 .3 - .4, 13 .1 - 0, 14 0 + .5 (its cosine is -1). But what is unlike all does not win below zero
    # likeness: it starts from 0. So 13 has .1 and 14 has 0.
    assert chosen(Arrangement(vector_diversity=0.5), 2) == [10, 13]
    # After 13: 11 -.1, 12 .3 - .4 = -.1, 14 0. Then 11 and 12 tie at -.1: the earlier one.
    assert chosen(Arrangement(vector_diversity=0.5), 4) == [10, 13, 14, 11]


def test_an_uploader_has_no_more_than_the_limit() -> None:
    assert chosen(Arrangement(max_per_uploader=1), 5) == [10, 12, 14]
    assert chosen(Arrangement(max_per_uploader=2), 5) == [10, 11, 12, 14]


def test_a_tag_has_no_more_than_the_limit() -> None:
    # 10 brings tags 1 and 9, so 11, 12 and 13 are out at once.
    assert chosen(Arrangement(max_per_tag=1), 5) == [10, 14]
    assert chosen(Arrangement(max_per_tag=2), 5) == [10, 11, 13, 14]


def test_users_do_not_mix_and_short_lists_stay_short() -> None:
    two = Merged(
        np.array([[10, 11, 12], [12, -1, -1]]),
        np.array([[3.0, 2.0, 1.0], [1.0, -np.inf, -np.inf]]),
        np.array([[0, 0, 0], [1, -1, -1]]),
    )
    found = arrange(two, facts_of(TAGS), Arrangement(max_per_uploader=1, vector_diversity=0.1), 3)
    assert found.video_ids.tolist() == [[10, 12, -1], [12, -1, -1]]
    assert np.isneginf(found.scores[found.video_ids < 0]).all()


def test_of_nothing_nothing_is_chosen() -> None:
    empty = Merged(np.empty((2, 0), dtype=np.int64), np.empty((2, 0)), np.empty((2, 0), dtype=np.int64))
    nobody = lambda ids, _: VideoFacts(ids, np.empty((2, 0, 1), dtype=np.int64))  # noqa: E731
    assert arrange(empty, nobody, Arrangement(max_per_tag=1), 5).video_ids.shape == (2, 0)


@pytest.mark.parametrize(
    ("config", "taken", "expected"),
    [
        (Arrangement(max_per_uploader=2), [], [0, 1, 2, 4]),
        (Arrangement(max_per_uploader=2), [11], [0, 2, 4]),
        (Arrangement(max_per_uploader=1), [11], [2, 4]),
        (Arrangement(max_per_tag=1), [], [0, 4]),
        (Arrangement(max_per_tag=2), [], [0, 1, 3, 4]),  # 10 and 11 have both 1, so not 12; 10 and 13 both 9
        (Arrangement(max_per_tag=1), [14], [0]),
        (Arrangement(max_per_tag=1), [10, 12], [4]),  # what breaks a limit itself is there all the same
    ],
)
def test_what_fills_a_list_keeps_to_the_limits_of_the_whole(
    config: Arrangement, taken: list[int], expected: list[int]
) -> None:
    limits = Limits(config, facts_of(TAGS), np.array(taken, dtype=np.int64))
    ids = CANDIDATES.video_ids[0]
    assert limits.allowed(ids, 5).tolist() == expected
    assert limits.allowed(ids, 1).tolist() == expected[:1]
    assert limits.allowed(ids[:0], 1).tolist() == []


def test_limits_that_rule_out_a_whole_catalogue_are_found_out_in_one_pass() -> None:
    looked_at: list[int] = []

    def alike(video_ids: np.ndarray, with_vectors: bool) -> VideoFacts:
        looked_at.append(video_ids.size)
        return VideoFacts(
            np.ones(video_ids.shape, dtype=np.int64), np.ones((*video_ids.shape, 1), dtype=np.int64)
        )

    ids = np.arange(3 * LOOKED_AT)
    assert Limits(Arrangement(max_per_tag=2), alike).allowed(ids, 200).tolist() == [0, 1]
    assert sum(looked_at) == len(ids)
