"""Popularity counts positives, newest days more if told so, and keeps a list per segment."""

from pathlib import Path

import numpy as np
import pytest

from features.bundle import open_bundle
from features.settings import Settings
from tests.training.logs import at, video, watch, write_log
from training.models.popularity import PopularityConfig, recency_weights
from training.run import train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
USERS = [{"user_id": 1, "segment": "young"}, {"user_id": 2, "segment": "old"}]
WATCHES = [
    watch(1, 7, 0.0),
    watch(1, 8, 9.0),
    watch(2, 7, 1.0),
    watch(2, 9, 9.5, long_watch=False),  # watched, but no positive
    watch(3, 8, 9.6),  # no segment
    watch(3, 7, 2.0),
]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("window_days=none", [(None, 7, 3), (None, 8, 2), (None, 9, 0)]),
        ("window_days=1.5", [(None, 8, 2), (None, 7, 0), (None, 9, 0)]),
    ],
)
def test_positives_are_counted_for_all_users(
    tmp_path: Path, override: str, expected: list[tuple[None, int, float]]
) -> None:
    settings = Settings(home=tmp_path)
    write_log(settings, WATCHES, [video(v) for v in (7, 8, 9)])
    path = train("popularity", at(10), settings=settings, overrides=[override], training=UNTRACKED)
    rows = open_bundle(path).ranking.to_pylist()
    assert [(row["segment"], row["video_id"], row["score"]) for row in rows] == expected
    assert [row["rank"] for row in rows] == [0, 1, 2]


def test_segments_get_lists_of_their_own_up_to_a_length(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    write_log(settings, WATCHES, [video(v) for v in (7, 8, 9)], USERS)
    overrides = ["window_days=none", "videos_per_segment=2"]
    path = train("popularity", at(10), settings=settings, overrides=overrides, training=UNTRACKED)
    rows = [row for row in open_bundle(path).ranking.to_pylist() if row["segment"]]
    assert [(row["segment"], row["rank"], row["video_id"], row["score"]) for row in rows] == [
        ("old", 0, 7, 1.0), ("old", 1, 8, 0.0),
        ("young", 0, 7, 1.0), ("young", 1, 8, 1.0),
    ]  # fmt: skip


def test_segments_can_be_left_out(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    write_log(settings, WATCHES, [video(v) for v in (7, 8, 9)], USERS)
    overrides = ["by_segment=false"]
    path = train("popularity", at(10), settings=settings, overrides=overrides, training=UNTRACKED)
    assert set(open_bundle(path).ranking["segment"].to_pylist()) == {None}


def test_half_life_halves_and_window_cuts() -> None:
    ages = np.array([0.0, 3.0, 6.0])
    half_life = PopularityConfig(window_days=None, half_life_days=3)
    assert recency_weights(ages, half_life).tolist() == pytest.approx([1, 1 / 2, 1 / 4])
    assert recency_weights(ages, PopularityConfig(window_days=3)).tolist() == [1, 1, 0]


def test_nothing_after_the_cut_counts(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    write_log(settings, WATCHES, [video(v) for v in (7, 8, 9)])
    bundle = open_bundle(train("popularity", at(5), settings=settings, training=UNTRACKED))
    assert bundle.ranking["video_id"].to_pylist() == [7]
    assert bundle.manifest.data.num_watches == 3
