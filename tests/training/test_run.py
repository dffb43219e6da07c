"""A bundle's training can be repeated from what its manifest names."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.bundle import open_bundle
from features.errors import BadInputError, RetryLaterError
from features.forget import find_users, forget
from features.home_lock import own_home
from features.lake import Lake
from features.schema import VIDEOS, WATCHES
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.run import repeat, train
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
SMALL = ("dim=8", "epochs=2", "refit_epochs=1", "num_negatives=16", "seed=3")


@pytest.fixture
def planted(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    return settings


def test_a_repeated_training_gives_the_same_vectors_after_the_lake_has_changed(planted: Settings) -> None:
    first = train("mean_pooling", at(3), settings=planted, overrides=SMALL, training=UNTRACKED)
    lake = Lake(planted)
    day = min(lake.day_counts(WATCHES))
    rows = lake.read_days(WATCHES, [day])
    lake.write_day(WATCHES, day, rows.slice(rows.num_rows // 2))
    videos = lake.read_days(VIDEOS)
    lake.write_day(VIDEOS, day, videos.slice(1))
    again, new = (open_bundle(repeat(first, settings=planted, training=UNTRACKED)), open_bundle(first))
    assert again.manifest.data == new.manifest.data
    assert again.manifest.config == new.manifest.config
    np.testing.assert_array_equal(again.vectors, new.vectors)
    fresh = open_bundle(train("mean_pooling", at(3), settings=planted, overrides=SMALL, training=UNTRACKED))
    assert fresh.manifest.data.num_watches < again.manifest.data.num_watches


def test_a_version_that_is_gone_is_named(planted: Settings) -> None:
    bundle = train("popularity", at(3), settings=planted, training=UNTRACKED)
    lake = Lake(planted)
    for day in lake.day_counts(WATCHES):
        lake.write_day(WATCHES, day, lake.read_days(WATCHES, [day]))
    lake.clean(WATCHES, keep_days=0)
    with pytest.raises(BadInputError, match="watches: the files of that version were deleted"):
        repeat(bundle, settings=planted, training=UNTRACKED)
    assert pq.read_table(bundle / "ranking.parquet").num_rows


def test_a_training_on_rows_that_were_erased_is_not_repeated(planted: Settings) -> None:
    first = train("popularity", at(3), settings=planted, training=UNTRACKED)
    erased = forget(find_users(planted, [1]), settings=planted)
    assert erased.unrepeatable == [open_bundle(first).name]
    with pytest.raises(BadInputError, match=r"cannot be repeated since 2[0-9-]+ \(erasure\)"):
        repeat(first, settings=planted, training=UNTRACKED)


def test_a_training_holds_erasures_off(planted: Settings) -> None:
    with own_home(planted), pytest.raises(RetryLaterError, match="users are being erased"):
        train("popularity", at(3), settings=planted, training=UNTRACKED)
