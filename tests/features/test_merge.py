import numpy as np

from features.capacity import keep_active
from features.merge import merge_hits


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


def test_rarely_activated_interests_are_pruned_but_never_all() -> None:
    activation = np.array([[0.96, 0.04, 0.0], [0.4, 0.3, 0.3], [0.0, 0.0, 0.0]])
    assert keep_active(activation, min_share=0.05).tolist() == [
        [True, False, False],
        [True, True, True],
        [True, True, True],
    ], "without activations nothing is known, so nothing is pruned"
    assert keep_active(np.array([[0.5, 0.5]]), min_share=0.9).any()
