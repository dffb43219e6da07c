import numpy as np
import pytest

from features.merge import FLOOR, Fusion, Merged, merge_channels, merge_hits, share_hits


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


def shared(ids: list[list[int]], weights: list[float], min_share: float, top_n: int) -> list[tuple[int, int]]:
    """(video, interest) by place; scores are 1 for all, since they decide nothing."""
    hits = np.array([ids])
    merged = share_hits(hits, np.ones(hits.shape), np.array([weights]), min_share, top_n)
    assert merged.scores[0].tolist() == [
        -float(place) if video >= 0 else -np.inf for place, video in enumerate(merged.video_ids[0].tolist())
    ]
    return list(zip(merged.video_ids[0].tolist(), merged.interests[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("min_share", "expected"),
    [
        # Shares .75 and .25: turns at 1.3, 4, 6.7, 9.3 and at 4, 12; the tie is of the lower interest.
        (0.0, [10, 11, 20, 12, 13, 21]),
        # .25 each and three quarters of the other half, .625 and .375: 1.6, 4.8, 8, 11.2 and 2.7, 8, 13.3.
        (0.25, [10, 20, 11, 12, 21, 13]),
        (0.5, [10, 20, 11, 21, 12, 22]),
    ],
)
def test_interests_share_each_beginning_of_a_list_by_weight(min_share: float, expected: list[int]) -> None:
    found = shared([[10, 11, 12, 13], [20, 21, 22, 23]], [3.0, 1.0], min_share, 6)
    assert found == [(video, video // 10 - 1) for video in expected]


def test_a_shared_video_is_of_whoever_reaches_it_first_and_the_other_gets_its_next_one() -> None:
    # 10 is the first of both; then it is the turn of interest 1, whose own first one is 12.
    assert shared([[10, 11, 13], [10, 12, 11]], [1.0, 1.0], 0.0, 4) == [(10, 0), (12, 1), (11, 0), (13, 0)]


def test_interests_that_found_nothing_have_no_share() -> None:
    found = shared([[10, 11], [-1, -1], [30, -1]], [0.0, 9.0, 0.0], 0.1, 5)
    assert found == [(10, 0), (30, 2), (11, 0), (-1, -1), (-1, -1)]
    assert shared([[-1, -1], [-1, -1]], [1.0, 1.0], 0.1, 2) == [(-1, -1), (-1, -1)]


def test_every_interest_has_its_least_share_and_no_list_depends_on_the_others() -> None:
    chance = np.random.default_rng(5)
    ids = np.stack([np.stack([chance.permutation(400)[:80] for _ in range(4)]) for _ in range(60)])
    weights = chance.dirichlet([0.2] * 4, 60)
    merged = share_hits(ids, np.ones(ids.shape), weights, 0.1, 60)
    for user in range(60):
        alone = share_hits(ids[user : user + 1], np.ones((1, 4, 80)), weights[user : user + 1], 0.1, 60)
        assert alone.video_ids[0].tolist() == merged.video_ids[user].tolist()
        assert len(set(merged.video_ids[user].tolist())) == 60
        counts = np.stack([(merged.interests[user] == k).cumsum() for k in range(4)])
        assert (counts >= (0.1 * np.arange(1, 61)).astype(int) - 1).all()
        assert (np.abs(counts[:, -1] - 60 * (0.1 + 0.6 * weights[user])) <= 1.5).all()
