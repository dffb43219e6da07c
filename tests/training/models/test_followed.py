"""Followed: recent videos of uploaders on whose videos the user ever pressed follow."""

import numpy as np
import pytest

from features.bundle import Bundle, open_bundle
from features.history import HISTORY_LENGTH
from features.lake import Lake
from features.settings import Settings
from tests.training.logs import at, video, watch, write_log
from training.dataset import WatchLog
from training.ranked import Past
from training.ranking import open_ranker
from training.run import train
from training.settings import TrainingSettings

UNTIL = at(10)
VIDEOS = [
    video(1, uploader_id=7, published_at=at(-90)),
    video(2, uploader_id=8, published_at=at(-90)),
    video(11, uploader_id=7, published_at=at(10)),
    video(12, uploader_id=7, published_at=at(3)),
    video(13, uploader_id=7, published_at=at(9), is_online=False),
    video(21, uploader_id=8, published_at=at(10)),
]
FOLLOWER, FAN, NOBODY = 1, 2, 3
WATCHES = [
    watch(FOLLOWER, 1, 1, False, followed=True),
    watch(FOLLOWER, 2, 2),
    watch(FAN, 2, 1, followed=True),
    watch(FAN, 12, 4, followed=None),
    watch(NOBODY, 1, 1),
    watch(NOBODY, 12, 2),
]


def trained(settings: Settings, *overrides: str) -> Bundle:
    write_log(settings, WATCHES, VIDEOS)
    training = TrainingSettings(mlflow_uri="off")
    path = train(
        "followed", UNTIL, settings=settings, overrides=overrides, show_progress=False, training=training
    )
    return open_bundle(path)


def found(settings: Settings, bundle: Bundle) -> list[list[int]]:
    past = Past.read(WatchLog(Lake(settings), UNTIL, bundle.manifest.rule), UNTIL)
    lists = open_ranker(bundle).find(past, np.array([FOLLOWER, FAN, NOBODY, 99]), 3)
    return [[video_id for video_id in own if video_id >= 0] for own in lists.video_ids.tolist()]


def test_plays_and_age_say_what_a_recent_video_is_worth(settings: Settings) -> None:
    rows = trained(settings).uploads.to_pylist()
    weights = {(row["uploader_id"], row["video_id"]): row["weight"] for row in rows}
    # 12 has two plays and is seven days old: 3 / 3 * .5; 11 has none and is new: 1 / 3.
    assert weights == {(7, 12): 0.5, (7, 11): pytest.approx(1 / 3), (8, 21): 1.0}


def test_who_follows_gets_videos_of_that_uploader_and_who_does_not_gets_none(settings: Settings) -> None:
    assert found(settings, trained(settings)) == [[12, 11], [21], [], []]


def test_old_videos_and_more_than_so_many_of_an_uploader_are_left_out(settings: Settings) -> None:
    assert found(settings, trained(settings, "recent_days=5")) == [[11], [21], [], []]
    assert found(settings, trained(settings, "num_videos=1")) == [[12], [21], [], []]


def test_a_follow_counts_however_many_watches_came_after_it(settings: Settings) -> None:
    later = [watch(FOLLOWER, 2, 3 + i / 100) for i in range(HISTORY_LENGTH + 1)]
    bundle = trained(settings)
    write_log(settings, [*WATCHES, *later], VIDEOS)
    assert found(settings, bundle) == [[12, 11], [21], [], []]


def test_a_follow_from_a_video_that_training_never_saw_counts_too(settings: Settings) -> None:
    bundle = trained(settings)
    write_log(settings, [*WATCHES, watch(NOBODY, 31, 5, followed=True)], [*VIDEOS, video(31, uploader_id=7)])
    assert found(settings, bundle) == [[12, 11], [21], [11], []], "12 was seen"
