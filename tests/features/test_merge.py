import numpy as np
import pytest

from features.merge import FLOOR, Fusion, Merged, merge_channels, merge_hits


def test_a_video_found_twice_stays_under_its_best_interest() -> None:
    ids = np.array([[[10, 30], [20, 30]]])
    scores = np.array([[[0.9, 0.6], [0.9, 0.8]]])
    merged = merge_hits(ids, scores, top_n=3)
    assert merged.video_ids.tolist() == [[10, 20, 30]], "a tie goes to the smaller id"
    assert merged.scores.tolist() == [[0.9, 0.9, 0.8]]
    assert merged.interests.tolist() == [[0, 1, 1]]


def test_users_do_not_mix() -> None:
    ids = np.array([[[1, 2]], [[2, 3]]])
    scores = np.array([[[0.1, 0.2]], [[0.3, 0.4]]])
    assert merge_hits(ids, scores, top_n=2).video_ids.tolist() == [[2, 1], [3, 2]]


def test_empty_places_come_last_and_say_so() -> None:
    ids = np.array([[[5, -1], [5, -1]]])
    scores = np.array([[[0.5, 9.0], [0.4, 9.0]]])
    merged = merge_hits(ids, scores, top_n=3)
    assert merged.video_ids.tolist() == [[5, -1, -1]]
    assert merged.interests.tolist() == [[0, -1, -1]]
    assert np.isneginf(merged.scores[0, 1:]).all()


def test_negative_scores_are_scores() -> None:
    merged = merge_hits(np.array([[[1, 2]]]), np.array([[[-0.5, -0.2]]]), top_n=2)
    assert merged.video_ids.tolist() == [[2, 1]]


def test_nothing_found_gives_empty_lists() -> None:
    assert merge_hits(np.empty((2, 3, 0), dtype=np.int64), np.empty((2, 3, 0)), 5).video_ids.shape == (2, 0)
    assert merge_hits(np.empty((0, 3, 4), dtype=np.int64), np.empty((0, 3, 4)), 5).video_ids.shape == (0, 5)


def test_equal_scores_of_one_video_belong_to_the_lower_interest() -> None:
    ids = np.array([[[7, 8], [8, 7], [7, 9]]])
    scores = np.array([[[0.5, 0.2], [0.4, 0.6], [0.6, 0.6]]])
    merged = merge_hits(ids, scores, top_n=4)
    # 7: .5, .6 and .6, so interest 1 before 2; 8: .2 and .4. The tie of 7 and 9 goes to the smaller id.
    assert merged.video_ids.tolist() == [[7, 9, 8, -1]]
    assert merged.interests.tolist() == [[1, 2, 1, -1]]


def test_a_score_that_is_no_number_finds_nothing() -> None:
    merged = merge_hits(np.array([[[1, 2], [2, 3]]]), np.array([[[0.1, np.nan], [0.2, np.nan]]]), top_n=3)
    assert merged.video_ids.tolist() == [[2, 1, -1]]


def slowly_merged(ids: np.ndarray, scores: np.ndarray, top_n: int) -> list[tuple[int, float, int]]:
    """The rule in words: best interest per video, then by score, id."""
    best: dict[int, tuple[float, int]] = {}
    for interest, (row, values) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True)):
        for video, value in zip(row, values, strict=True):
            if video != -1 and (video not in best or value > best[video][0]):
                best[video] = (value, interest)
    ordered = sorted((-value, video, interest) for video, (value, interest) in best.items())
    return [(video, -value, interest) for value, video, interest in ordered[:top_n]]


def test_any_hits_are_merged_by_the_rule() -> None:
    random = np.random.default_rng(5)
    for depth, num_videos, num_scores in [(6, 12, 4), (40, 60, 1000), (90, 1000, 7)]:
        ids = random.integers(-1, num_videos, size=(20, 3, depth))
        scores = random.integers(num_scores, size=ids.shape).astype(np.float32)
        merged = merge_hits(ids, scores, top_n=depth)
        for user in range(len(ids)):
            columns = (merged.video_ids[user], merged.scores[user], merged.interests[user])
            found = [row for row in zip(*(c.tolist() for c in columns), strict=True) if row[0] != -1]
            assert found == slowly_merged(ids[user], scores[user], depth)


def listed(ids: list[int], scores: list[float], interests: list[int] | None = None) -> Merged:
    """The list of one user."""
    found_by = np.array([interests or [-1] * len(ids)])
    return Merged(np.array([ids]), np.array([scores], dtype=float), found_by)


FIRST = listed([1, 2, 3], [30.0, 20.0, 10.0], [0, 1, 0])
"""Calibrated: 1, .5, 0."""
SECOND = listed([2, 9, -1], [0.5, 0.1, -np.inf])
"""Calibrated: 1, 0."""


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        ("arithmetic", {2: 0.75 * 0.5 + 0.25, 1: 0.75, 3: 0.0, 9: 0.0}),
        ("geometric", {2: 0.75 * np.log(0.5), 1: 0.25 * np.log(FLOOR), 3: np.log(FLOOR), 9: np.log(FLOOR)}),
        ("reciprocal_rank", {2: 0.75 / 61 + 0.25 / 60, 1: 0.75 / 60, 3: 0.75 / 62, 9: 0.25 / 61}),
    ],
)
def test_channels_of_different_scores_are_fused(fusion: Fusion, expected: dict[int, float]) -> None:
    merged = merge_channels([FIRST, SECOND], [3.0, 1.0], 5, fusion=fusion)
    ranked = sorted(expected, key=lambda video: (-expected[video], video))
    assert merged.video_ids.tolist() == [[*ranked, -1]]
    assert merged.scores[0, :4] == pytest.approx([expected[video] for video in ranked])
    assert merged.interests[0, list(ranked).index(2)] == 1, "the interest that found it is kept"


def test_a_channel_alone_keeps_its_order_and_one_of_weight_0_says_nothing() -> None:
    assert merge_channels([FIRST], [0.2], 3).video_ids.tolist() == FIRST.video_ids.tolist()
    assert merge_channels([FIRST, SECOND], [1.0, 0.0], 2).video_ids.tolist() == [[1, 2]]


def test_users_without_a_hit_in_any_channel_get_nothing() -> None:
    nothing = listed([-1, -1], [-np.inf, -np.inf])
    assert merge_channels([nothing, nothing], [1.0, 1.0], 2).video_ids.tolist() == [[-1, -1]]


def test_weights_must_fit_the_channels() -> None:
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="need as many weights"):
            merge_channels([FIRST, SECOND], weights, 2)


def test_a_list_of_equal_scores_counts_by_rank() -> None:
    fill = listed([9, 4, 6], [0.0, 0.0, 0.0])
    assert merge_channels([fill], [1.0], 3).video_ids.tolist() == [[9, 4, 6]]
    assert merge_channels([fill], [1.0], 3, fusion="geometric").video_ids.tolist() == [[9, 4, 6]]
