"""The ASOF join returns what Feast's point-in-time join returns."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest

from features.aggregates.config import AggregatesConfig
from features.days import add_days, end_of, start_of
from features.ingest import ingest
from features.point_in_time import features_as_of
from features.schema import USER_ID
from features.settings import Settings
from features.snapshots import AS_OF, KEY_OF, USER_HISTORY, USER_PROFILE, USER_SEEN, VIEWS, build_snapshots
from features.sources.simulator import SimulationConfig, simulate
from tests.features.landing_rows import DAY, land_day, user, watch

DAYS = [add_days("2026-03-01", i) for i in range(6)]
NUM_PAIRS = 1000


def test_the_newest_row_at_the_moment_or_nulls(settings: Settings) -> None:
    tuesday = add_days(DAY, 1)
    land_day(settings, [watch("a", 12, video_id=1)])
    land_day(settings, [watch("b", 12, day=tuesday, video_id=2)], day=tuesday)
    ingest([DAY, tuesday], settings=settings)
    dict(build_snapshots([DAY, tuesday], settings))
    just_before = end_of(DAY) - timedelta(microseconds=1)
    moments = [end_of(tuesday), end_of(DAY), just_before, end_of(tuesday)]
    found = features_as_of(USER_HISTORY, [1, 1, 1, 99], moments, settings)
    assert found["video_ids"].to_pylist() == [[1, 2], [1], None, None]
    assert found[AS_OF].to_pylist() == moments
    late = [end_of(DAY) + timedelta(days=days) for days in (2, 3)]
    profile = features_as_of(USER_PROFILE, [1, 1], late, settings, ttl=timedelta(days=2))
    assert profile["segment"].to_pylist() == [user(1)["segment"], None], "older than the time to live"


@pytest.mark.slow
def test_a_thousand_pairs_of_every_view_equal_feasts_own_join(settings: Settings) -> None:
    from features.definitions import TTL_OF
    from features.store import FeatureStore

    config = SimulationConfig(
        last_day=DAYS[-1], num_days=len(DAYS), num_users=200, num_videos=300, dirt=0.02, seed=5
    )
    simulate(config, settings)
    ingest(DAYS, settings=settings)
    dict(build_snapshots(DAYS, settings))
    store = FeatureStore(settings)
    store.apply()
    chance = np.random.default_rng(11)
    seconds = chance.integers(0, 40 * 86_400, NUM_PAIRS).tolist()  # far enough for every time to live
    moments = [start_of(DAYS[0]) + timedelta(seconds=second) for second in seconds]
    for view in VIEWS:
        ids = chance.integers(0, 210, NUM_PAIRS).tolist()
        ours = features_as_of(view, ids, moments, settings, ttl=TTL_OF[view]).to_pandas()
        feasts = store.point_in_time(ids, moments, view)
        assert ours[KEY_OF[view]].tolist() == ids
        columns = [name for name in ours.columns if name not in (KEY_OF[view], AS_OF)]
        assert columns
        for name in columns:
            assert _values(ours[name]) == _values(feasts[name]), f"{view}: {name}"
        known = ours[columns[0]].notna().sum()
        assert 0 < known < NUM_PAIRS, f"{view}: some are known, some are not"


@pytest.mark.slow
def test_spark_as_the_offline_store_joins_the_same_rows(settings: Settings) -> None:
    from features.definitions import TTL_OF
    from features.store import FeatureStore

    days = DAYS[:2]
    config = SimulationConfig(last_day=days[-1], num_days=2, num_users=60, num_videos=80, seed=5)
    simulate(config, settings)
    ingest(days, settings=settings)
    dict(build_snapshots(days, settings))
    spark = {"offline_store": "spark", "aggregates": AggregatesConfig(spark_master="local[1]")}
    store = FeatureStore(settings.model_copy(update=spark))
    store.apply()
    chance = np.random.default_rng(11)
    moments = [start_of(days[0]) + timedelta(hours=int(hour)) for hour in chance.integers(0, 200, 50)]
    for view in (USER_HISTORY, USER_SEEN, "user_tag_affinity", "user_stats"):
        ids = chance.integers(0, 65, 50).tolist()
        ours = features_as_of(view, ids, moments, settings, ttl=TTL_OF[view]).to_pandas()
        sparks = store.point_in_time(ids, moments, view)
        columns = [name for name in ours.columns if name not in (USER_ID, AS_OF)]
        for name in columns:
            assert _values(ours[name]) == _values(sparks[name]), f"{view}: {name}"
        assert 0 < ours[columns[0]].notna().sum() < 50


def _values(column: "Sequence[object] | object") -> list[object]:
    """As plain values: lists as tuples, every kind of nothing as ``None``."""
    found: list[object] = []
    for value in column:  # type: ignore[union-attr]
        if isinstance(value, np.ndarray | list):
            found.append(tuple(np.asarray(value).tolist()))
        else:
            found.append(None if value is None or value != value else value)
    return found


def test_moments_between_days_see_the_day_before(settings: Settings) -> None:
    land_day(settings, [watch("a", 12, video_id=1)])
    ingest([DAY], settings=settings)
    dict(build_snapshots([DAY], settings))
    noon: datetime = end_of(DAY) + timedelta(hours=12)
    assert features_as_of(USER_HISTORY, [1], [noon], settings)["video_ids"].to_pylist() == [[1]]
