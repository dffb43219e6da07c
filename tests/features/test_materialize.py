"""Features as of a day: hand-derived statistics, nothing from the future, the same online and offline."""

from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from features.days import end_of
from features.errors import BadInputError, StoreUnavailableError
from features.ingest import ingest
from features.materialize import materialize, newest_day
from features.positives import Action, PositiveRule
from features.schema import USERS
from features.settings import Settings
from features.snapshots import STATS_VIEWS, USER_HISTORY, VIEWS, build_snapshots, snapshot_days, snapshot_path
from features.store import FeatureStore
from tests.features.landing_rows import land, land_day, user, watch

MONDAY, TUESDAY, WEDNESDAY = "2026-03-02", "2026-03-03", "2026-03-04"


@pytest.fixture
def home(settings: Settings) -> Settings:
    """Two days; on Tuesday an event of Monday arrives late."""
    monday = [
        watch("m1", 1, video_id=1, long_watch=True, liked=True),
        watch("m2", 2, video_id=2, long_watch=False),
        watch("m3", 12, video_id=1, user_id=2, long_watch=False, disliked=True),
    ]
    tuesday = [
        watch("late", 23, video_id=3, long_watch=True),
        watch("t1", 12, day=TUESDAY, video_id=1, long_watch=True),
    ]
    land_day(settings, monday, day=MONDAY)
    land_day(settings, tuesday, day=TUESDAY)
    ingest([MONDAY, TUESDAY], settings=settings)
    return settings


def snapshot(settings: Settings, view: str, day: str, key: str) -> dict[int, dict]:
    return {row[key]: row for row in pq.read_table(snapshot_path(settings, view, day)).to_pylist()}


def test_counts_rates_and_trend_of_a_video(home: Settings) -> None:
    dict(build_snapshots([TUESDAY], home))
    row = snapshot(home, "video_stats", TUESDAY, "video_id")[1]
    assert [row[f"plays_{n}d"] for n in (1, 7, 30)] == [1, 3, 3]
    assert [row[f"long_watches_{n}d"] for n in (1, 7, 30)] == [1, 2, 2]
    assert (row["likes_1d"], row["likes_7d"], row["dislikes_1d"], row["dislikes_7d"]) == (0, 1, 0, 1)
    assert row["long_watch_rate_7d"] == pytest.approx((2 + 20 * 3 / 5) / (3 + 20)), "leaning to 3 of all 5"
    assert row["trend"] == pytest.approx((1 + 10) / (3 / 7 + 10))
    assert row["event_timestamp"] == datetime(2026, 3, 4, tzinfo=UTC)


def test_every_entity_counts_the_same_plays(home: Settings) -> None:
    dict(build_snapshots([TUESDAY], home))
    plays = {
        view: sum(row["plays_30d"] for row in snapshot(home, view, TUESDAY, key).values())
        for view, key in STATS_VIEWS.items()
    }
    # Five plays; every video has the one uploader and two tags.
    assert plays == {"user_stats": 5, "video_stats": 5, "uploader_stats": 5, "tag_stats": 10}


def test_what_arrived_later_is_not_in_an_earlier_snapshot(home: Settings) -> None:
    dict(build_snapshots([MONDAY, TUESDAY], home))
    assert 3 not in snapshot(home, "video_stats", MONDAY, "video_id"), "the late event came on Tuesday"
    assert snapshot(home, "video_stats", TUESDAY, "video_id")[3]["plays_7d"] == 1
    assert snapshot(home, USER_HISTORY, MONDAY, "user_id")[1]["video_ids"] == [1, 2]
    assert snapshot(home, USER_HISTORY, TUESDAY, "user_id")[1]["video_ids"] == [1, 2, 3, 1]


def test_a_future_day_changes_no_past_snapshot(home: Settings) -> None:
    dict(build_snapshots([MONDAY, TUESDAY], home))
    before = {view: pq.read_table(snapshot_path(home, view, TUESDAY)) for view in VIEWS}
    land_day(home, [watch("w", 12, day=WEDNESDAY), watch("later", 13, day=MONDAY)], day=WEDNESDAY)
    ingest([WEDNESDAY], settings=home)
    dict(build_snapshots([TUESDAY], home))
    assert all(pq.read_table(snapshot_path(home, view, TUESDAY)).equals(before[view]) for view in VIEWS)


def test_online_equals_the_history_and_unknown_users_are_none(home: Settings) -> None:
    assert materialize([TUESDAY], settings=home) == TUESDAY
    store = FeatureStore(home)
    first, second = store.lookup(1), store.lookup(2)
    assert first is not None
    assert second is not None
    assert list(first.history.video_ids) == [1, 2, 3, 1]
    liked = Action.POSITIVE | Action.LIKED
    assert list(first.history.actions) == [liked, 0, Action.POSITIVE, Action.POSITIVE]
    assert first.history.event_times[0] == int(datetime(2026, 3, 2, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert first.seen.tolist() == [1, 2, 3]
    assert (first.segment, first.profile) == ("young", ["region=north"])
    assert first.feature_time == end_of(TUESDAY)
    assert list(second.history.video_ids) == [1], "not active on Tuesday, so Monday's row still holds"
    assert store.lookup(4) is not None, "a user without watches has a profile"
    assert store.lookup(99) is None


def test_the_point_in_time_join_returns_one_row_per_question_as_it_was(home: Settings) -> None:
    materialize([TUESDAY], settings=home)
    moments = [end_of(MONDAY), end_of(TUESDAY), end_of("2026-03-01"), end_of(MONDAY)]
    found = FeatureStore(home).point_in_time([1, 1, 1, 99], moments)
    histories = [None if ids is None else list(ids) for ids in found["video_ids"]]
    assert histories[:2] == [[1, 2], [1, 2, 3, 1]]
    assert all(ids is None for ids in histories[2:]), "before the first snapshot, and for a stranger"


def test_one_call_covers_all_days_that_have_no_snapshot(home: Settings) -> None:
    assert newest_day(settings=home) is None
    materialize([TUESDAY], settings=home)
    assert snapshot_days(home) == [MONDAY, TUESDAY]
    assert newest_day(settings=home) == TUESDAY


def test_an_older_day_does_not_turn_the_online_store_back(home: Settings) -> None:
    materialize([TUESDAY], settings=home)
    materialize([MONDAY], settings=home)
    found = FeatureStore(home).lookup(1)
    assert found is not None
    assert list(found.history.video_ids) == [1, 2, 3, 1]
    assert found.feature_time == end_of(TUESDAY)


def built(home: Settings, view: str = USER_HISTORY) -> dict[str, int]:
    """When the snapshot of each day was written."""
    return {day: snapshot_path(home, view, day).stat().st_mtime_ns for day in snapshot_days(home)}


def test_a_landing_day_that_comes_out_of_order_reaches_later_snapshots_and_the_online_store(
    settings: Settings,
) -> None:
    land_day(settings, [watch("m", 13, video_id=1)], day=MONDAY)
    land_day(settings, [watch("w", 13, day=WEDNESDAY, video_id=3)], day=WEDNESDAY)
    ingest([MONDAY, WEDNESDAY], settings=settings)
    materialize([WEDNESDAY], settings=settings)
    before = built(settings)
    both = [
        watch("t1", 13, day=TUESDAY, video_id=2),
        watch("t2", 14, day=TUESDAY, video_id=2, user_id=2),
    ]
    land_day(settings, both, day=TUESDAY)
    ingest([TUESDAY], settings=settings)
    materialize([TUESDAY], settings=settings)
    assert snapshot(settings, USER_HISTORY, WEDNESDAY, "user_id")[1]["video_ids"] == [1, 2, 3]
    assert built(settings)[MONDAY] == before[MONDAY], "Monday knows nothing of Tuesday"
    store = FeatureStore(settings)
    first, second = store.lookup(1), store.lookup(2)
    assert first is not None
    assert second is not None
    assert list(first.history.video_ids) == [1, 2, 3]
    assert list(second.history.video_ids) == [2]


def test_a_day_in_order_and_a_day_ingested_again_build_nothing_twice(home: Settings) -> None:
    materialize([MONDAY], settings=home)
    first = built(home)
    materialize([TUESDAY], settings=home)
    second = built(home)
    assert second[MONDAY] == first[MONDAY], "the late event of Monday landed on Tuesday"
    ingest([MONDAY, TUESDAY], settings=home)
    land_day(home, [watch("w", 12, day=WEDNESDAY)], day=WEDNESDAY)
    ingest([WEDNESDAY], settings=home)
    materialize([WEDNESDAY], settings=home)
    assert {day: built(home)[day] for day in (MONDAY, TUESDAY)} == second


def test_what_was_built_but_did_not_get_online_is_built_again(home: Settings) -> None:
    dict(build_snapshots([MONDAY, TUESDAY], home))  # killed here: nothing is noted
    before = built(home)
    materialize([TUESDAY], settings=home)
    assert built(home)[MONDAY] > before[MONDAY]
    assert FeatureStore(home).lookup(2) is not None


def test_a_newer_day_that_did_not_get_online_goes_online_with_an_older_one(home: Settings) -> None:
    materialize([MONDAY], settings=home)
    dict(build_snapshots([TUESDAY], home))  # killed here
    materialize([MONDAY], settings=home)
    found = FeatureStore(home).lookup(1)
    assert found is not None
    assert list(found.history.video_ids) == [1, 2, 3, 1]
    assert found.feature_time == end_of(TUESDAY)


def test_another_positive_rule_forgets_what_the_snapshots_were_made_of(home: Settings) -> None:
    materialize([TUESDAY], settings=home)
    strict = home.model_copy(update={"rule": PositiveRule(quick_skip_seconds=6)})
    with pytest.raises(BadInputError, match="no watches of 2026-03-09"):
        materialize(["2026-03-09"], settings=strict)  # stops before anything is online
    dict(build_snapshots([MONDAY, TUESDAY], strict))  # as if it had been killed after these
    materialize([TUESDAY], settings=strict)
    found = FeatureStore(strict).lookup(2)
    assert found is not None
    assert list(found.history.actions) == [Action.DISLIKED | Action.QUICK_SKIP]


def test_another_positive_rule_makes_all_snapshots_again(home: Settings) -> None:
    materialize([MONDAY], settings=home)
    strict = home.model_copy(update={"rule": PositiveRule(quick_skip_seconds=6)})
    materialize([MONDAY], settings=strict)
    [second] = [
        row for row in snapshot(strict, USER_HISTORY, MONDAY, "user_id").values() if row["user_id"] == 2
    ]
    assert second["actions"] == [Action.DISLIKED | Action.QUICK_SKIP], "its 5 seconds are a quick skip now"


def test_a_changed_profile_reaches_the_online_store(home: Settings) -> None:
    materialize([TUESDAY], settings=home)
    land_day(home, [watch("w", 12, day=WEDNESDAY)], day=WEDNESDAY)
    land(home, USERS, [user(i, segment="old") for i in range(5)], day=WEDNESDAY)
    ingest([WEDNESDAY], settings=home)
    materialize([WEDNESDAY], settings=home)
    found = FeatureStore(home).lookup(2)
    assert found is not None
    assert found.segment == "old"


def test_a_day_that_was_not_ingested_is_named(home: Settings) -> None:
    with pytest.raises(BadInputError, match="no watches of 2026-03-09"):
        materialize(["2026-03-09"], settings=home)


def test_an_empty_store_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(StoreUnavailableError, match="facet materialize"):
        FeatureStore(settings).lookup(1)


def test_only_profiles_that_changed_are_written_again(home: Settings) -> None:
    land(home, USERS, [user(0), user(1, segment="old"), user(9)], day=TUESDAY)
    ingest([TUESDAY], settings=home)
    materialize([TUESDAY], settings=home)
    assert list(snapshot(home, "user_profile", MONDAY, "user_id")) == [0, 1, 2, 3, 4]
    assert list(snapshot(home, "user_profile", TUESDAY, "user_id")) == [1, 9]
    segments = [found.segment for i in (0, 1, 9) if (found := FeatureStore(home).lookup(i))]
    assert segments == ["young", "old", "young"]
