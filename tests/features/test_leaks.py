"""A future event never changes a past feature: everything is built again after the future arrived."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq

from features.ingest import ingest
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.snapshots import VIEWS, build_snapshots, snapshot_path
from tests.features.landing_rows import land, user, video, watch

MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (f"2026-03-0{day}" for day in (2, 3, 4, 5))
PAST = [MONDAY, TUESDAY]


def land_past(settings: Settings) -> None:
    """Three users; without ``long_watch`` a positive depends on seconds and on the video's duration."""
    for day in PAST:
        rows = [
            watch(f"{day}-{who}-{i}", 13 + i, day=day, user_id=who, video_id=(who + i) % 5,
                  watch_seconds=8.0 * i, liked=i == 2, followed=i == 1, disliked=i == 3)
            for who in range(3) for i in range(5)
        ]  # fmt: skip
        land(settings, WATCHES, rows, day=day)
        land(settings, VIDEOS, [video(i, uploader_id=i % 2, tag_ids=[i % 3]) for i in range(5)], day=day)
        land(settings, USERS, [user(i) for i in range(3)], day=day)


def land_future(settings: Settings) -> None:
    """Watches of later days, late ones of the past, and videos and users with everything changed."""
    for day, later in ((WEDNESDAY, 0), (THURSDAY, 1)):
        rows = [
            watch(f"{day}-{who}-{i}", 13 + i, day=day, user_id=who, video_id=i % 9,
                  long_watch=True, followed=True)
            for who in range(4) for i in range(6)
        ]  # fmt: skip
        late = [
            watch(f"late-{day}-{who}-{i}", 20 + later, day=past, user_id=who, video_id=i, long_watch=True,
                  disliked=True, followed=True)
            for past in PAST for who in range(4) for i in range(6)
        ]  # fmt: skip
        land(settings, WATCHES, rows + late, day=day)
        changed = [
            video(i, uploader_id=7 + i, tag_ids=[50 + i], duration_seconds=3.0 + later) for i in range(9)
        ]
        land(settings, VIDEOS, changed, day=day)
        land(settings, USERS, [user(i, segment="old", profile=["region=south"]) for i in range(4)], day=day)


def features_of_the_past(settings: Settings) -> dict[tuple[str, str], pa.Table]:
    return {(view, day): pq.read_table(snapshot_path(settings, view, day)) for view in VIEWS for day in PAST}


def test_features_as_of_the_past_are_the_same_after_the_future_arrived(settings: Settings) -> None:
    land_past(settings)
    ingest(PAST, settings=settings)
    dict(build_snapshots(PAST, settings))
    before = features_of_the_past(settings)
    unchanged_profiles = ("user_profile", TUESDAY)
    assert all(table.num_rows for place, table in before.items() if place != unchanged_profiles)
    land_future(settings)
    ingest([WEDNESDAY, THURSDAY], settings=settings)
    shutil.rmtree(settings.feast / "offline")
    shutil.rmtree(settings.root / "aggregates")
    dict(build_snapshots([*PAST, WEDNESDAY, THURSDAY], settings))
    after = features_of_the_past(settings)
    assert [place for place in before if not before[place].equals(after[place])] == []
    future = pq.read_table(snapshot_path(settings, "user_history", THURSDAY)).to_pylist()
    assert len(future[0]["video_ids"]) > 30, "the future is in the features of the future"
