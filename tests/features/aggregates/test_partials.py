"""The sums of one day: null is unknown, never false."""

from features.aggregates.columns import COUNTS, known_of
from features.aggregates.engines import Engine
from features.aggregates.partials import counts, positives, regrouped, user_videos
from features.aggregates.plays import plays_of, tags_of
from features.lake import curated_schema
from features.positives import PositiveRule
from features.schema import TAG_ID, USER_ID, VIDEO_ID, VIDEOS, WATCHES
from tests.features.aggregates.conftest import MakeTable, fetch
from tests.features.aggregates.logs import MONDAY, TUESDAY, video, watch

ROWS = [
    watch(1, 10, 1, long_watch=True, liked=True, watch_seconds=20.0),
    watch(1, 10, 2, long_watch=False, liked=None, watch_seconds=5.0),
    watch(2, 10, 3, long_watch=None, liked=False),
    watch(2, 10, 4, landed=TUESDAY, long_watch=True, disliked=True),
    watch(2, 20, 5, long_watch=True, followed=True, shared=False),
]
VIDEOS_OF_TWENTY_SECONDS = [
    row | {"snapshot_day": MONDAY, "landing_day": MONDAY} for row in (video(10, 5, 6), video(20, 6))
]


def test_counts_of_a_video_say_how_often_a_flag_is_true_and_how_often_known(
    engine: Engine, make: MakeTable
) -> None:
    videos = make(VIDEOS_OF_TWENTY_SECONDS, curated_schema(VIDEOS))
    plays = plays_of(make(ROWS, curated_schema(WATCHES)), videos, PositiveRule())
    found = fetch(engine, counts(plays, VIDEO_ID)).to_pylist()
    by_key = {(row["video_id"], row["landing_day"]): row for row in found}
    assert len(found) == len(by_key) == 3
    first = by_key[10, MONDAY]
    assert first["plays"] == 3
    assert {name: (first[name], first[known_of(name)]) for name in COUNTS} == {
        "long_watches": (1, 2),
        "likes": (1, 2),
        "follows": (0, 0),
        "shares": (0, 0),
        "dislikes": (0, 0),
    }
    assert (first["completion_micros"], first["known_completion_micros"]) == (1_000_000 + 250_000, 2)
    late = by_key[10, TUESDAY]
    assert (late["plays"], late["long_watches"], late["dislikes"], late["known_dislikes"]) == (1, 1, 1, 1)


def test_the_plays_of_a_tag_are_those_of_all_its_videos(engine: Engine, make: MakeTable) -> None:
    videos = make(VIDEOS_OF_TWENTY_SECONDS, curated_schema(VIDEOS))
    plays = plays_of(make(ROWS, curated_schema(WATCHES)), videos, PositiveRule())
    tags = fetch(engine, regrouped(counts(plays, VIDEO_ID), tags_of(videos), [TAG_ID])).to_pylist()
    assert {(row["tag_id"], row["landing_day"]): row["plays"] for row in tags} == {
        (5, MONDAY): 3,
        (6, MONDAY): 4,
        (5, TUESDAY): 1,
        (6, TUESDAY): 1,
    }
    pairs = fetch(engine, regrouped(user_videos(plays), tags_of(videos), [USER_ID, TAG_ID])).to_pylist()
    assert {
        (row["user_id"], row["tag_id"], row["landing_day"]): (
            row["plays"],
            row["long_watches"],
            row["known_long_watches"],
        )
        for row in pairs
    } == {
        (1, 5, MONDAY): (2, 1, 2),
        (1, 6, MONDAY): (2, 1, 2),
        (2, 5, MONDAY): (1, 0, 0),
        (2, 6, MONDAY): (2, 1, 1),
        (2, 5, TUESDAY): (1, 1, 1),
        (2, 6, TUESDAY): (1, 1, 1),
    }


def test_positives_are_numbered_from_the_end_of_the_day_and_ties_go_by_event_id(
    engine: Engine, make: MakeTable
) -> None:
    tie = [
        watch(3, 1, 8, event_id="b", long_watch=True),
        watch(3, 2, 8, event_id="a", long_watch=True),
        watch(3, 3, 7, long_watch=True),
        watch(3, 4, 9, long_watch=False),
        watch(3, 5, 10),
    ]
    videos = make(VIDEOS_OF_TWENTY_SECONDS, curated_schema(VIDEOS))
    plays = plays_of(make(tie, curated_schema(WATCHES)), videos, PositiveRule())
    found = fetch(engine, positives(plays)).to_pylist()
    assert {row["video_id"]: row["from_end"] for row in found} == {1: 0, 2: 1, 3: 2}
