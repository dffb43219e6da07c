"""What training reads of a moment is what an online look-up at that moment returned."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from features.days import add_days, end_of
from features.ingest import ingest
from features.materialize import materialize
from features.schema import ACTIONS, EVENT_TIMES, PROFILE, SEGMENT, VIDEO_IDS
from features.settings import Settings
from features.snapshots import SEEN_PACKED
from features.sources.simulator import SimulationConfig, simulate
from features.store import FeatureStore
from features.user_features import UserFeatures, unpack_ids

DAYS = [add_days("2026-03-01", i) for i in range(5)]
NUM_PAIRS = 1000
NUM_USERS = 300


@pytest.mark.slow
def test_a_thousand_look_ups_equal_the_point_in_time_join(settings: Settings) -> None:
    simulate(
        SimulationConfig(
            last_day=DAYS[-1], num_days=len(DAYS), num_users=NUM_USERS, num_videos=500, dirt=0.05, seed=3
        ),
        settings,
    )
    chance = np.random.default_rng(11)
    asked: list[tuple[int, datetime]] = []
    answers: list[UserFeatures | None] = []
    for day in DAYS:  # as it happens: every day is ingested, materialized and then asked for
        ingest([day], settings=settings)
        materialize([day], settings=settings)
        store = FeatureStore(settings)
        for user_id in chance.integers(0, NUM_USERS + 10, NUM_PAIRS // len(DAYS)).tolist():
            within_the_next_day = timedelta(seconds=int(chance.integers(0, 86_400)))
            asked.append((user_id, end_of(day) + within_the_next_day))
            answers.append(store.lookup(user_id))
    users, moments = (list(column) for column in zip(*asked, strict=True))
    joined = FeatureStore(settings).point_in_time(users, moments)
    assert len(joined) == NUM_PAIRS
    differing = [
        pair
        for pair, online, (_, offline) in zip(asked, answers, joined.iterrows(), strict=True)
        if _facts(online) != _joined(offline)
    ]
    assert differing == []
    assert sum(online is not None and len(online.history.video_ids) > 0 for online in answers) > NUM_PAIRS / 2


def _facts(online: UserFeatures | None) -> tuple[list, ...]:
    if online is None:
        return [], [], [], [], [], []
    history = online.history
    lists = [list(column) for column in (history.video_ids, history.event_times, history.actions)]
    return (*lists, online.seen.tolist(), [online.segment], online.profile)


def _joined(row: "object") -> tuple[list, ...]:
    def column(name: str) -> list:
        value = row[name]  # type: ignore[index]
        return [] if value is None or (isinstance(value, float) and np.isnan(value)) else list(value)

    packed, segment = row[SEEN_PACKED], row[SEGMENT]  # type: ignore[index]
    seen = unpack_ids(packed if isinstance(packed, bytes) else None).tolist()
    known = [column(name) for name in (VIDEO_IDS, EVENT_TIMES, ACTIONS)]
    if not any(known) and not isinstance(segment, str):
        return [], [], [], [], [], []
    return (*known, seen, [segment if isinstance(segment, str) else None], column(PROFILE))
