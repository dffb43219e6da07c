"""Who watched what as a matrix, the neighbours that a bundle keeps, and what a history adds up to."""

from pathlib import Path

import numpy as np
import pytest

from features.bundle import open_bundle
from features.neighbours import watch_weights
from features.positives import Action
from features.settings import Settings
from features.vocabulary import Vocabulary
from tests.training.logs import at, video, watch, write_log
from training.dataset import Sequences, WatchLog
from training.item_graph import matrix_of, neighbours_table, recency_weights
from training.ranked import Past
from training.ranking import open_ranker
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
VOCABULARY = Vocabulary(np.array([7, 8, 9]))


def test_a_watch_weighs_by_its_outcome() -> None:
    actions = np.array(
        [Action.POSITIVE, 0, Action.QUICK_SKIP, Action.DISLIKED, Action.POSITIVE | Action.LIKED]
    )
    assert watch_weights(actions, 0.5).tolist() == [1, 0.5, 0.5, 0, 1]


def test_a_video_watched_twice_keeps_its_larger_weight_and_unknown_videos_are_left_out() -> None:
    sequences = Sequences(
        user_ids=np.array([1, 2]),
        offsets=np.array([0, 3, 5]),
        video_ids=np.array([8, 7, 8, 404, 9]),
        actions=np.zeros(5, dtype=np.int64),
        times_us=np.arange(5),
    )
    weights = np.array([0.5, 1, 1, 1, 0.5], dtype=np.float32)
    assert matrix_of(sequences, VOCABULARY, weights).toarray().tolist() == [[1, 1, 0], [0, 0, 0.5]]


def test_a_watch_says_half_as_much_after_the_half_life() -> None:
    times = np.array([int((at(8).timestamp() - days * 86_400) * 1e6) for days in (0, 3, 6)])
    sequences = Sequences(np.array([1]), np.array([0, 3]), np.array([7, 8, 9]), np.zeros(3, np.int64), times)
    assert recency_weights(sequences, at(8), 3.0).tolist() == pytest.approx([1, 0.5, 0.25])
    assert recency_weights(sequences, at(8), None).tolist() == [1, 1, 1]


def test_the_largest_weights_are_kept_with_their_sign_and_no_video_suggests_itself() -> None:
    weights = np.array([[9.0, 0.2, -0.4], [0.1, 9, 0], [0.3, -0.1, 9]])
    table = neighbours_table(lambda rows: weights[rows].copy(), VOCABULARY, np.array([1.0, 1, 0.25]), 1)
    assert table.to_pylist() == [
        {"video_id": 7, "neighbour_id": 8, "weight": pytest.approx(0.2)},  # the trend halves -.4 twice
        {"video_id": 8, "neighbour_id": 7, "weight": pytest.approx(0.1)},
        {"video_id": 9, "neighbour_id": 7, "weight": pytest.approx(0.3)},
    ]


def test_a_history_adds_up_its_neighbours_without_what_was_seen(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    # 1 and 2 come together twice, 1 and 3 once; user 13 watched 1, user 14 nothing, 4 is the most popular.
    pairs = [(10, 1), (10, 2), (11, 1), (11, 2), (12, 1), (12, 3), (13, 1), *((u, 4) for u in range(20, 25))]
    watches = [watch(user, v, 0.1 + i / 100) for i, (user, v) in enumerate(pairs)]
    lake = write_log(settings, watches, [video(v) for v in range(1, 5)])
    overrides = ["user_frequency=ignore", "norm=0"]
    bundle = open_bundle(train("item_cf", at(1), settings=settings, overrides=overrides, training=UNTRACKED))
    past = Past.read(WatchLog(lake, at(1), bundle.manifest.rule), at(1))
    lists = open_ranker(bundle).rank(past, np.array([13, 14]), 4).lists
    assert lists.video_ids.tolist() == [[2, 3, 4, -1], [4, 1, 2, 3]], "nobody's history: the popular order"
    assert lists.scores[0, :3].tolist() == [2, 1, 0]
    assert (lists.interests == -1).all()
