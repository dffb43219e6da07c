"""Cold videos: kept from training, ranked with all others, and what is possible without an encoder."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.lake import Lake, curated_schema
from features.positives import PositiveRule
from features.schema import VIDEO_ID, VIDEOS, WATCHES
from features.settings import Settings
from tests.training.logs import at, video, watch, write_log
from training.cold_videos import (
    ColdTask,
    choose_cold,
    copy_without,
    expected_counts,
    liked_tags,
    mean_over_kin,
    popular_kin,
)

# Uploader 1: videos 10, 20; uploader 2: video 30; uploader 3: 40. 20 and 40 are cold.
VIDEO_ROWS = [
    video(10, 1, uploader_id=1),
    video(20, 2, uploader_id=1),
    video(30, 2, uploader_id=2),
    video(40, 1, 2, uploader_id=3),
]
TABLE = pa.Table.from_pylist(VIDEO_ROWS, schema=curated_schema(VIDEOS))
COLD = np.array([20, 40])
COUNTS = np.array([6.0, 0.0, 2.0, 0.0])


def test_the_same_seed_chooses_the_same_share() -> None:
    ids = np.arange(50)
    assert len(choose_cold(ids, 0.1, 7)) == 5
    assert choose_cold(ids, 0.1, 7).tolist() == choose_cold(ids[::-1].copy(), 0.1, 7).tolist()
    assert choose_cold(ids, 0.1, 7).tolist() != choose_cold(ids, 0.1, 8).tolist()


def test_a_cold_video_has_the_mean_of_its_uploader_or_else_of_its_tags() -> None:
    assert expected_counts(COUNTS, TABLE).tolist() == [6, 6, 2, 4], "40: tag 1 says 6, tag 2 says 2"
    vectors = np.array([[1.0, 0.0], [9.0, 9.0], [0.0, 1.0], [9.0, 9.0]])
    kin = mean_over_kin(vectors, np.array([True, False, True, False]), TABLE)
    assert kin[[1, 3]].tolist() == [[1, 0], [0.5, 0.5]]


@pytest.fixture
def task(tmp_path: Path) -> ColdTask:
    whole, kept = Settings(home=tmp_path / "whole"), Settings(home=tmp_path / "kept")
    watches = [
        watch(1, 10, 0.1), watch(1, 20, 0.2), watch(2, 30, 0.3),
        watch(1, 40, 1.1), watch(2, 20, 1.2), watch(2, 10, 1.3), watch(1, 20, 1.4),
    ]  # fmt: skip
    write_log(whole, watches, VIDEO_ROWS)
    copy_without(whole, kept, COLD)
    left = Lake(kept).read_days(WATCHES)[VIDEO_ID].to_pylist()
    assert sorted(left) == [10, 10, 30]
    return ColdTask.read(whole, kept, COLD, (at(1), at(2)), rule=PositiveRule())


def test_cold_targets_are_apart_and_histories_have_no_cold_video(task: ColdTask) -> None:
    assert (task.cold.keys.tolist(), task.cold.ids.tolist()) == ([1, 2], [40, 20]), "1 had watched 20"
    assert (task.warm.keys.tolist(), task.warm.ids.tolist()) == ([2], [10])
    assert task.past.histories.video_ids.tolist() == [10, 30]
    assert task.past.seen.ids.tolist() == [10, 20, 30], "what was watched is not shown, cold or not"


def test_references_rank_all_videos_that_were_not_seen(task: ColdTask) -> None:
    users = np.array([1, 2])
    popular = popular_kin(COUNTS, TABLE).rank(task.past, users, 4).lists
    assert popular.video_ids.tolist() == [[40, 30, -1, -1], [10, 20, 40, -1]]
    # User 2 likes tag 2. 40 has half of it and 4 expected positives, 20 all of it and 6, 10 none of it.
    liked = liked_tags(COUNTS, TABLE).rank(task.past, users, 4).lists
    assert liked.video_ids.tolist() == [[40, 30, -1, -1], [20, 40, 10, -1]]
    cold, warm = task.judge(popular_kin(COUNTS, TABLE))
    assert cold.metrics["recall_at_50"] == 1.0
    assert cold.metrics["num_targets"] == 2.0
    assert warm.metrics["num_targets"] == 1.0
