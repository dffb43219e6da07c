"""Lists of a bundle: complete, without what was seen, under the interest that found each video."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.bundle import RANKING_SCHEMA
from features.capacity import Capacity, Pruner
from features.errors import BadInputError
from features.history import HistoryBatch
from features.merge import NO_VIDEO
from features.settings import Settings
from features.vocabulary import Vocabulary
from tests.training.logs import at, video, watch, write_log
from training.config import ModelConfig
from training.dataset import WatchLog
from training.ranked import Past, first_unseen
from training.ranking import InterestRanker, PopularityRanker, rank_in_blocks
from training.recall_batch import read_users, recall_batch
from training.run import train
from training.settings import TrainingSettings

# Videos 1..6 by popularity; east, north and between.
VOCABULARY = Vocabulary(np.array([1, 2, 3, 4, 5, 6]))
VECTORS = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8], [-1, 0], [0, -1]], dtype=np.float32)
UNTRACKED = TrainingSettings(mlflow_uri="off")


def east_and_north(batch: HistoryBatch) -> tuple[np.ndarray, np.ndarray]:
    """The same two interests for everybody; the first user's north is hardly ever active."""
    num_users = len(batch.video_rows)
    interests = np.broadcast_to(np.eye(2, dtype=np.float32), (num_users, 2, 2)).copy()
    activation = np.full((num_users, 2), 0.5, dtype=np.float32)
    activation[0] = [0.99, 0.01]
    return interests, activation


@pytest.fixture
def past(tmp_path: Path) -> Past:
    watches = [watch(10, 1, 0.1), watch(11, 5, 0.2), watch(11, 2, 0.3, long_watch=False)]
    lake = write_log(Settings(home=tmp_path), watches, [video(v) for v in range(1, 7)])
    return Past.read(WatchLog(lake, at(1), ModelConfig().rule), at(1))


@pytest.fixture
def ranker() -> InterestRanker:
    pruner = Pruner(np.array([0.5, 0.5]), Capacity(min_share=0.2, prior_strength=0.1))
    return InterestRanker(east_and_north, VOCABULARY, VECTORS, history_length=4, pruner=pruner)


def test_each_video_comes_once_under_its_best_interest_without_what_was_seen(
    ranker: InterestRanker, past: Past
) -> None:
    ranked = ranker.rank(past, np.array([10, 11]), top_n=3)
    # User 11 saw 5 and 2. Best: 1 (east 1.0), then 3 (east .8) and 4 (north .8).
    assert ranked.lists.video_ids[1].tolist() == [1, 3, 4]
    assert ranked.lists.interests[1].tolist() == [0, 0, 1]
    assert ranked.lists.scores[1].tolist() == pytest.approx([1.0, 0.8, 0.8])


def test_a_hardly_active_interest_is_not_searched(ranker: InterestRanker, past: Past) -> None:
    ranked = ranker.rank(past, np.array([10, 11]), top_n=6)
    assert ranked.searched is not None
    assert ranked.searched.tolist() == [[True, False], [True, True]]
    # User 10 saw 1; by east alone: 3 (.8), 4 (.6), then 2 and 6 (0), 5 (-1).
    assert ranked.lists.video_ids[0].tolist() == [3, 4, 2, 6, 5, NO_VIDEO]
    assert set(ranked.lists.interests[0, :5].tolist()) == {0}


def test_a_user_without_known_history_gets_the_popular_order(ranker: InterestRanker, past: Past) -> None:
    lists = ranker.rank(past, np.array([10, 99]), top_n=4).lists
    assert lists.video_ids[1].tolist() == [1, 2, 3, 4]
    assert lists.interests[1].tolist() == [-1] * 4
    assert lists.scores[1].tolist() == [0.0] * 4


def test_blocks_change_nothing(ranker: InterestRanker, past: Past) -> None:
    users = np.tile(np.array([99, 11]), 600)
    lists = [ranked.lists.video_ids for _, ranked in rank_in_blocks(ranker, past, users, 3)]
    assert len(lists) == 3  # 1,200 users in blocks of 512
    assert np.unique(np.concatenate(lists)[1::2], axis=0).tolist() == [[1, 3, 4]]


def test_the_list_of_the_segment_comes_before_the_list_of_all(past: Past) -> None:
    rows = [(None, 0, 1, 9.0), (None, 1, 2, 8.0), (None, 2, 3, 7.0), ("old", 0, 3, 5.0), ("old", 1, 1, 4.0)]
    ranking = pa.Table.from_pylist(
        [dict(zip(RANKING_SCHEMA.names, row, strict=True)) for row in rows], RANKING_SCHEMA
    )
    lists = PopularityRanker(ranking).rank(
        Past(past.moment, past.histories, past.seen, {10: "old", 12: "old", 13: "unheard-of"}),
        np.array([10, 11, 12, 13]),
        top_n=3,
    ).lists  # fmt: skip
    # 10 saw video 1, 11 (no segment) saw video 2.
    assert lists.video_ids.tolist() == [[3, 2, NO_VIDEO], [1, 3, NO_VIDEO], [3, 1, 2], [1, 2, 3]]
    assert lists.scores[2].tolist() == [5.0, 4.0, 0.0]
    assert (lists.interests == -1).all()


def test_first_unseen_skips_and_pads() -> None:
    places = first_unseen(np.array([2, 0, 1]), np.array([0, 0, 1]), np.array([2, 1, 0]), num_users=3, top_n=2)
    # User 0 saw videos 2 (place 0) and 1 (place 2); user 1 saw video 0 (place 1); user 2 nothing.
    assert places.tolist() == [[1, -1], [0, 2], [0, 1]]


@pytest.mark.parametrize("top_n", [2, 5, 50])
def test_every_user_gets_as_many_rows_as_there_are_unseen_videos(tmp_path: Path, top_n: int) -> None:
    settings = Settings(home=tmp_path)
    watches = [watch(10, 1, 0.1), watch(10, 2, 0.2), watch(11, 3, 0.3), watch(12, 4, 0.4), watch(12, 4, 1.5)]
    write_log(settings, watches, [video(v) for v in range(1, 7)])
    bundle = train("popularity", at(1), settings=settings, show_progress=False, training=UNTRACKED)
    rows = recall_batch(bundle, np.array([12, 10, 99]), at(1), top_n, settings=settings)
    counts = {user: rows["user_id"].to_pylist().count(user) for user in (12, 10, 99)}
    # The bundle knows the videos 1 to 4.
    assert counts == {12: min(top_n, 3), 10: min(top_n, 2), 99: min(top_n, 4)}
    assert rows["rank"].to_pylist()[: counts[12]] == list(range(counts[12]))
    assert rows["user_id"].to_pylist()[0] == 12, "users keep their order"


def test_users_come_from_parquet_or_the_error_says_what_is_wrong(tmp_path: Path) -> None:
    good, bad, text = tmp_path / "a.parquet", tmp_path / "b.parquet", tmp_path / "c.parquet"
    pq.write_table(pa.table({"user_id": pa.array([3, 1], pa.int32())}), good)
    pq.write_table(pa.table({"user": [3]}), bad)
    text.write_text("user_id\n3\n")
    assert read_users(good).tolist() == [3, 1]
    for path in (bad, text):
        with pytest.raises(BadInputError, match="user_id"):
            read_users(path)
