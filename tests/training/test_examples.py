"""Which videos are hidden, and that nothing of them stays in the history."""

import numpy as np
import pytest

from features.positives import Action
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.config import InterestConfig
from training.dataset import Sequences
from training.examples import (
    Batch,
    Examples,
    HiddenSets,
    Horizon,
    NextItem,
    NextItemOfOnePrefix,
    choose_hidden,
)

DAY = 86_400_000_000
POSITIVE, PLAIN = int(Action.POSITIVE), 0
CONFIG = InterestConfig(batch_size=8)


def sequences(*users: list[tuple[int, int]]) -> Sequences:
    """One list of (video, action) per user, a day apart."""
    watches = [pair for user in users for pair in user]
    lengths = [len(user) for user in users]
    return Sequences(
        np.arange(len(users)),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array([video for video, _ in watches], dtype=np.int64),
        np.array([action for _, action in watches], dtype=np.int64),
        np.concatenate([np.arange(length) * DAY for length in lengths]).astype(np.int64),
    )


def batches(
    data: Sequences, *, num: int, config: InterestConfig = CONFIG, history_length: int = 10
) -> list[Batch]:
    """Batches of all users of ``data``; the video id is the row."""
    vocabulary = Vocabulary(np.arange(1, int(data.video_ids.max()) + 1))
    config = config.model_copy(update={"history_length": history_length})
    maker = HiddenSets(data, vocabulary, config)
    random = np.random.default_rng(7)
    return [batch for _ in range(num) for batch in maker.epoch(random)]


def test_a_hidden_video_is_nowhere_in_the_history_even_if_it_was_watched_again() -> None:
    data = sequences([(1, POSITIVE), (2, POSITIVE), (1, PLAIN), (3, POSITIVE), (2, POSITIVE), (1, POSITIVE)])
    for batch in batches(data, num=50):
        assert not set(batch.target_rows.tolist()) & set(batch.video_rows.ravel().tolist())
        assert len(set(batch.target_rows.tolist())) == len(batch.target_rows), "each video is one target"


def test_hidden_and_visible_videos_together_are_the_sequence() -> None:
    data = sequences([(1, POSITIVE), (2, POSITIVE), (3, PLAIN), (4, POSITIVE)])
    for batch in batches(data, num=20):
        visible = batch.video_rows[batch.video_rows != PAD_ROW].tolist()
        assert sorted(visible + batch.target_rows.tolist()) == [1, 2, 3, 4]
        assert visible == sorted(visible), "the order of time stays"


def test_at_least_one_video_is_hidden_and_one_is_visible() -> None:
    data = sequences([(1, POSITIVE), (2, POSITIVE)], [(3, POSITIVE), (4, POSITIVE), (5, POSITIVE)])
    for share in (0.0, 1.0):
        config = InterestConfig(batch_size=8, hide_share_min=share, hide_share_max=share)
        for batch in batches(data, num=10, config=config):
            assert set(batch.target_users.tolist()) == {0, 1}
            assert (batch.video_rows != PAD_ROW).any(axis=1).all()


def test_about_the_chosen_share_is_hidden() -> None:
    data = sequences([(video, POSITIVE) for video in range(1, 101)])
    config = InterestConfig(batch_size=8, hide_share_min=0.3, hide_share_max=0.3)
    hidden = [len(batch.target_rows) for batch in batches(data, num=50, config=config, history_length=100)]
    assert np.mean(hidden) == pytest.approx(30, abs=2)  # standard error sqrt(100 * .3 * .7 / 50) = 0.65


def test_skips_and_dislikes_stay_visible_and_plain_plays_weigh_less() -> None:
    skip, dislike = int(Action.QUICK_SKIP), int(Action.DISLIKED | Action.POSITIVE)
    data = sequences([(1, skip), (2, dislike), (3, PLAIN), (4, POSITIVE)])
    weights: dict[int, float] = {}
    for batch in batches(data, num=30):
        assert {1, 2} <= set(batch.video_rows.ravel().tolist())
        weights |= dict(zip(batch.target_rows.tolist(), batch.target_weights.tolist(), strict=True))
    assert weights == pytest.approx({3: 0.3, 4: 1.0})


def test_a_part_of_what_was_turned_down_is_hidden_when_it_counts() -> None:
    skip, dislike = int(Action.QUICK_SKIP), int(Action.DISLIKED)
    data = sequences([(1, skip), (2, PLAIN), (1, skip), (3, POSITIVE), (4, dislike), (5, POSITIVE)])
    config = InterestConfig(batch_size=8, negative_weight=1.0)
    found: set[int] = set()
    for batch in batches(data, num=40, config=config):
        assert batch.turned_down_rows is not None
        assert batch.turned_down_users is not None
        hidden = batch.turned_down_rows.tolist()
        assert not set(hidden) & set(batch.video_rows.ravel().tolist()), "under none of its watches"
        assert len(set(hidden)) == len(hidden) == len(batch.turned_down_users)
        assert {1, 4} - set(hidden) <= set(batch.video_rows.ravel().tolist()), "the others stay visible"
        found |= set(hidden)
    assert found == {1, 4}


def test_feedback_that_does_not_count_changes_no_batch() -> None:
    data = sequences([(1, int(Action.QUICK_SKIP)), (2, PLAIN), (3, POSITIVE), (4, POSITIVE)])
    for batch, other in zip(
        batches(data, num=10),
        batches(data, num=10, config=InterestConfig(batch_size=8, negative_weight=0.5)),
        strict=True,
    ):
        assert batch.turned_down_rows is None
        np.testing.assert_array_equal(batch.target_rows, other.target_rows)


def test_plain_plays_are_never_hidden_when_they_weigh_nothing() -> None:
    data = sequences([(1, PLAIN), (2, POSITIVE), (3, POSITIVE)])
    for batch in batches(data, num=20, config=InterestConfig(batch_size=8, weak_weight=0.0)):
        assert 1 in batch.video_rows


def test_a_video_that_was_positive_once_is_a_positive_target() -> None:
    data = sequences([(1, PLAIN), (1, POSITIVE), (2, POSITIVE)])
    for batch in batches(data, num=20):
        assert batch.target_weights.tolist() == [1.0]


def test_ages_count_from_the_newest_visible_watch_and_padding_is_on_the_left() -> None:
    data = sequences([(1, POSITIVE), (2, POSITIVE)], [(3, POSITIVE), (4, POSITIVE), (5, POSITIVE)])
    for batch in batches(data, num=20):
        padding = batch.video_rows == PAD_ROW
        assert (np.diff(padding.astype(int), axis=1) <= 0).all()
        assert not batch.actions[padding].any()
        assert not batch.age_days[padding].any()
        for rows, ages in zip(batch.video_rows, batch.age_days, strict=True):
            visible = rows[rows != PAD_ROW]  # one watch a day, and video v + 1 follows video v
            assert ages[rows != PAD_ROW].tolist() == (visible[-1] - visible).tolist()


def test_the_history_keeps_its_newest_watches() -> None:
    data = sequences([(video, POSITIVE) for video in range(1, 21)])
    for batch in batches(data, num=10, history_length=5):
        assert batch.video_rows.shape == (1, 5)
        hidden = set(batch.target_rows.tolist())
        assert batch.video_rows[0].tolist() == [v for v in range(1, 21) if v not in hidden][-5:]


def test_an_epoch_passes_over_every_user_with_two_videos_once() -> None:
    users = [[(1, POSITIVE), (2, POSITIVE)]] * 19 + [[(3, POSITIVE)]]
    maker = HiddenSets(sequences(*users), Vocabulary(np.arange(1, 4)), CONFIG)
    assert maker.num_users == 19
    assert maker.num_batches == 3
    sizes = [len(batch.video_rows) for batch in maker.epoch(np.random.default_rng(0))]
    assert sorted(sizes) == [3, 8, 8]


def test_videos_outside_the_vocabulary_are_left_out() -> None:
    maker = HiddenSets(
        sequences([(9, POSITIVE), (1, POSITIVE), (2, POSITIVE), (9, POSITIVE)]),
        Vocabulary(np.array([1, 2])),
        CONFIG,
    )
    (batch,) = maker.epoch(np.random.default_rng(0))
    assert sorted([*batch.target_rows.tolist(), *batch.video_rows[batch.video_rows != PAD_ROW].tolist()]) == [
        1,
        2,
    ]


def test_the_smallest_lot_is_hidden_and_the_largest_stays_when_the_share_says_otherwise() -> None:
    lots = np.array([[0.9, 0.5, 0.7], [0.2, 0.1, 0.3]])
    eligible = np.array([[True, True, False], [True, True, True]])
    hidden = choose_hidden(lots, eligible, np.array([[0.4], [0.4]]))
    assert hidden.tolist() == [[False, True, False], [True, True, False]]


def one_batch(kind: type[Examples], user: list[tuple[int, int]], seed: int = 0, **changes: object) -> Batch:
    """The only batch of one user; the video id is the row."""
    data = sequences(user)
    vocabulary = Vocabulary(np.arange(1, int(data.video_ids.max()) + 1))
    config = InterestConfig.model_validate({"history_length": 10, "objective": "next_item"} | changes)
    (batch,) = kind(data, vocabulary, config).epoch(np.random.default_rng(seed))
    return batch


SKIP = int(Action.QUICK_SKIP)
STORY = [(1, POSITIVE), (2, PLAIN), (3, POSITIVE), (1, POSITIVE), (4, SKIP), (5, POSITIVE)]


def test_every_prefix_predicts_the_positive_that_comes_next() -> None:
    batch = one_batch(NextItem, STORY)
    assert batch.video_rows.tolist() == [[1, 2, 3, 1, 4, 5]]
    # 1 has no prefix, 2 is no positive, the second 1 is not new, 4 is skipped.
    # So 3 comes after (1, 2), and 5 after everything before it.
    assert batch.target_rows.tolist() == [3, 5]
    assert batch.target_places is not None
    assert batch.target_places.tolist() == [1, 4]


def test_a_prefix_that_is_cut_off_predicts_nothing() -> None:
    batch = one_batch(NextItem, STORY, history_length=3)
    assert batch.video_rows.tolist() == [[1, 4, 5]]
    assert (batch.target_rows.tolist(), batch.target_places.tolist()) == ([5], [1])  # type: ignore[union-attr]


def test_one_prefix_per_user_ends_just_before_its_target() -> None:
    found = set()
    for seed in range(20):
        batch = one_batch(NextItemOfOnePrefix, STORY, seed)
        assert batch.target_places is None
        visible = batch.video_rows[batch.video_rows != PAD_ROW].tolist()
        found.add((tuple(visible), *batch.target_rows.tolist()))
    assert found == {((1, 2), 3), ((1, 2, 3, 1, 4), 5)}


def test_the_horizon_holds_the_new_positives_of_the_days_after_the_cut() -> None:
    # One watch a day; a horizon of 2.5 days after the cut at 3 reaches the second 1 and 4, but not 5.
    found = set()
    for seed in range(20):
        batch = one_batch(Horizon, STORY, seed, objective="horizon", horizon_days=2.5)
        visible = batch.video_rows[batch.video_rows != PAD_ROW].tolist()
        found.add((tuple(visible), tuple(batch.target_rows.tolist())))
    assert found == {((1, 2), (3,)), ((1, 2, 3, 1, 4), (5,))}
    far = one_batch(Horizon, STORY, objective="horizon", horizon_days=30.0)
    assert set(far.target_rows.tolist()) <= {3, 5}


def test_ages_count_from_the_newest_visible_watch() -> None:
    batch = one_batch(NextItem, STORY)
    assert batch.age_days[0].tolist() == [5, 4, 3, 2, 1, 0]


def test_a_weak_target_is_counted_as_often_as_it_comes() -> None:
    data = sequences([(1, POSITIVE), (2, PLAIN), (1, PLAIN)], [(2, PLAIN), (3, POSITIVE), (4, SKIP)])
    examples = HiddenSets(data, Vocabulary(np.arange(1, 5)), InterestConfig())
    # 1 and 3 are positives of one user each, 2 a plain play of both, 4 is no target; once per user.
    assert examples.target_counts(5).tolist() == [0, 1, 2, 1, 0]
