"""Pushed watches reach the next look-up, whoever pushes them and whatever runs meanwhile."""

import multiprocessing
from datetime import UTC, datetime

import pytest

from features.days import end_of
from features.errors import StoreUnavailableError
from features.ingest import ingest
from features.materialize import materialize
from features.positives import Action
from features.recent import RecentWatch
from features.schema import VIDEOS, WATCHES
from features.settings import Settings
from features.snapshots import USER_FOLLOWS
from features.store import FeatureStore
from tests.features.landing_rows import DAY, land, land_day, video, watch

NOON = int(datetime(2026, 3, 3, 12, tzinfo=UTC).timestamp()) * 1_000_000
NUM_PROCESSES, NUM_EACH = 8, 125


@pytest.fixture
def home(settings: Settings) -> Settings:
    land_day(settings, [watch("a", 13, video_id=1), watch("b", 14, video_id=2), watch("c", 15, user_id=2)])
    ingest([DAY], settings=settings)
    materialize([DAY], settings=settings)
    return settings


def pushed(number: int, video_id: int = 5) -> RecentWatch:
    return RecentWatch(NOON + number, f"p{number}", video_id, 1)


def push_many(settings: Settings, process: int) -> None:
    store = FeatureStore(settings)
    for number in range(NUM_EACH):
        event = process * NUM_EACH + number
        while not _is_pushed(store, event):
            pass  # as the error says: push again


def _is_pushed(store: FeatureStore, event: int) -> bool:
    try:
        store.push({1: [pushed(event, video_id=event)]}, length=NUM_PROCESSES * NUM_EACH)
    except StoreUnavailableError:
        return False
    return True


def test_a_pushed_watch_is_in_the_next_history_and_is_not_shown_again(home: Settings) -> None:
    store = FeatureStore(home)
    store.push({1: [pushed(0)], 77: [pushed(1, video_id=6)]})
    known, new = store.lookup(1), store.lookup(77)
    assert known is not None
    assert list(known.history.video_ids) == [1, 2, 5]
    assert known.seen.tolist() == [1, 2, 5]
    assert known.feature_time == datetime(2026, 3, 3, 12, tzinfo=UTC), "ages count from the pushed watch"
    assert new is not None
    assert list(new.history.video_ids) == [6]
    untouched = store.lookup(2)
    assert untouched is not None
    assert untouched.feature_time == end_of(DAY)
    store.push({78: [pushed(i, video_id=10 + i) for i in range(3)]}, length=2)
    many = store.lookup(78)
    assert many is not None
    assert (many.seen.tolist(), list(many.history.video_ids)) == ([10, 11, 12], [11, 12])
    assert materialize([DAY], settings=home) == DAY, "offline rows need not hold what was watched since"


def test_the_daily_ingest_of_pushed_watches_counts_them_once(home: Settings) -> None:
    store = FeatureStore(home)
    store.push({1: [RecentWatch(NOON, "later", 3, 1)]})
    before = store.lookup(1)
    day = "2026-03-03"
    land_day(home, [watch("later", 12, day=day, video_id=3, long_watch=True)], day=day)
    ingest([day], settings=home)
    materialize([day], settings=home)
    after = FeatureStore(home).lookup(1)
    assert before is not None
    assert after is not None
    assert list(after.history.video_ids) == list(before.history.video_ids) == [1, 2, 3]
    assert list(after.history.event_times) == list(before.history.event_times)


def test_follows_are_all_of_the_daily_watches_and_the_pushed_ones(settings: Settings) -> None:
    land(settings, VIDEOS, [video(i, uploader_id=10 + i % 2) for i in range(200)])
    early = watch("follow", 1, video_id=3, followed=True)
    later = [
        watch(f"w{i}", video_id=i, event_time=f"{DAY}T12:{i // 60:02d}:{i % 60:02d}+00:00")
        for i in range(4, 150)
    ]
    land(settings, WATCHES, [early, *later])
    ingest([DAY], settings=settings)
    materialize([DAY], settings=settings)
    store = FeatureStore(settings)
    before = store.lookup(1)
    assert before is not None
    assert 3 not in before.history.video_ids, "the history has room for a hundred"
    assert (before.follows.uploader_ids.tolist(), before.follows.video_ids.tolist()) == ([11], [])
    shorter = store.lookup(1, without=frozenset({USER_FOLLOWS}))
    assert shorter is not None
    assert (shorter.follows.uploader_ids.tolist(), shorter.history) == ([], before.history)
    follow = RecentWatch(NOON, "pushed", 160, int(Action.POSITIVE | Action.FOLLOWED))
    store.push({1: [follow, pushed(1, video_id=161)], 77: [follow]})
    after, new = store.lookup(1), store.lookup(77)
    assert after is not None
    assert new is not None
    assert (after.follows.uploader_ids.tolist(), after.follows.video_ids.tolist()) == ([11], [160])
    assert (new.follows.uploader_ids.tolist(), new.follows.video_ids.tolist()) == ([], [160])


def test_the_registry_may_live_in_a_database(home: Settings) -> None:
    url = f"sqlite:///{home.root / 'shared.db'}"
    settings = home.model_copy(update={"database_url": url})
    with pytest.raises(StoreUnavailableError, match="run `facet materialize DAY` first"):
        FeatureStore(settings).lookup(1)
    materialize([DAY], settings=settings)
    (home.feast / "registry.db").unlink()
    found = FeatureStore(settings).lookup(1)
    assert found is not None
    assert list(found.history.video_ids) == [1, 2]


@pytest.mark.slow
def test_no_process_loses_an_event_also_while_features_are_materialized(home: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=push_many, args=(home, i)) for i in range(NUM_PROCESSES)]
    for process in processes:
        process.start()
    materialize([DAY], settings=home)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * NUM_PROCESSES
    found = FeatureStore(home).lookup(1)
    assert found is not None
    assert set(range(NUM_PROCESSES * NUM_EACH)) <= set(found.seen.tolist())
    assert list(found.history.video_ids) == list(range(900, 1000)), "the newest hundred, in order"
