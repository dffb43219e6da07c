"""What every channel keeps to, and what each finds, over the five videos of ``tests/serving/bundles.py``."""

from dataclasses import replace

import numpy as np
import pytest

from features.bundle import open_bundle
from features.follows import Follows
from features.live_items import LiveItems
from features.merge import NO_VIDEO
from features.merge_config import ImpressionCap, MergeConfig
from features.neighbours import Neighbours
from features.popular import PopularVideos
from features.settings import Settings
from features.snapshots import USER_FOLLOWS, USER_SHOWN
from features.uploads import Uploads
from features.user_vectors import StoredVectors, UserVectors
from serving.channels import Channel, Found, Scope
from serving.channels.followed import FollowedChannel
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.neighbours import NeighboursChannel
from serving.channels.opening import unread_views
from serving.channels.popular import PopularChannel
from serving.channels.stored_interests import StoredInterestsChannel
from serving.channels.vector_search import VectorSearch
from serving.interests import InterestExtractor
from serving.metrics import STAGES
from tests.serving.bundles import (
    VIDEO_IDS,
    exact_index,
    write_interests,
    write_neighbours,
    write_ranking,
    write_stored,
    write_uploads,
)
from tests.serving.users import POSITIVE, user

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
WATCHED = [(10, POSITIVE)]
EVERYBODY = replace(user(1, WATCHED, segment="young"), follows=Follows(np.array([7, 8, 9])))


def search(settings: Settings) -> VectorSearch:
    return VectorSearch(exact_index(), open_bundle(write_interests(settings)))


def multi_interest(settings: Settings) -> Channel:
    own = search(settings)
    return MultiInterestChannel(InterestExtractor(open_bundle(settings.bundles / "tiny" / "v1")), own)


def neighbours(settings: Settings) -> Channel:
    weights = {(10, 20): 0.2, (10, 30): 0.3, (10, 40): 0.4, (10, 50): 0.5}
    return NeighboursChannel(Neighbours.of(open_bundle(write_neighbours(settings, weights))))


def followed(settings: Settings) -> Channel:
    weights = {(7, 10): 1.0, (7, 30): 0.3, (8, 20): 0.2, (8, 40): 0.4, (9, 50): 0.5}
    uploads = Uploads.of(open_bundle(write_uploads(settings, weights)))
    return FollowedChannel(uploads, LiveItems(open_bundle(write_interests(settings))))


def stored(settings: Settings, *, is_looked_up: bool = False) -> StoredInterestsChannel:
    bundle = open_bundle(write_stored(settings, {7: [NORTH], 1: [EAST, NORTH]}))
    return StoredInterestsChannel(
        StoredVectors(bundle.user_interests), search(settings), is_looked_up=is_looked_up
    )


def popular(settings: Settings) -> Channel:
    ranking = open_bundle(write_ranking(settings, {"young": [40, 10, 30], None: [20, 50]}))
    return PopularChannel(PopularVideos.of_ranking(ranking))


ALL = pytest.mark.parametrize(
    "make", [multi_interest, neighbours, stored, popular, followed], ids=lambda m: m.__name__
)


def ids(found: Found | None) -> list[int]:
    assert found is not None
    return [video for video in found.lists.video_ids[0].tolist() if video != NO_VIDEO]


@ALL
@pytest.mark.parametrize("limit", [1, 2, 4, 9])
def test_a_list_is_no_longer_than_the_limit_and_without_what_was_seen(
    settings: Settings, make: object, limit: int
) -> None:
    assert callable(make)
    found = make(settings).find(replace(EVERYBODY, seen=np.array([10, 30, 999])), limit)
    assert 0 < len(ids(found)) <= limit
    assert not {10, 30, 999} & set(ids(found))
    scores = found.lists.scores[0][: len(ids(found))]
    assert (np.diff(scores) <= 0).all(), "best first"


@ALL
def test_everything_seen_is_an_empty_list_and_not_ignorance(settings: Settings, make: object) -> None:
    assert callable(make)
    assert ids(make(settings).find(replace(EVERYBODY, seen=VIDEO_IDS), 5)) == []


@ALL
def test_the_time_of_a_channel_has_its_label_in_the_metrics(settings: Settings, make: object) -> None:
    assert callable(make)
    channel = make(settings)
    found = channel.find(EVERYBODY, 1)
    stages = found.seconds.keys() | ({channel.stage} - {None})
    assert set() < stages <= set(STAGES)


@ALL
def test_a_channel_in_memory_always_could_answer(settings: Settings, make: object) -> None:
    assert callable(make)
    make(settings).check()


@pytest.mark.parametrize("make", [multi_interest, neighbours, stored, followed])
def test_a_user_without_a_known_history_is_not_known(settings: Settings, make: object) -> None:
    assert callable(make)
    assert make(settings).find(user(99, [(777, POSITIVE)]), 5) is None


def test_neighbours_are_those_of_the_history(settings: Settings) -> None:
    assert ids(neighbours(settings).find(EVERYBODY, 3)) == [50, 40, 30]


def test_followed_uploaders_are_those_of_the_daily_features_and_of_follows_since(settings: Settings) -> None:
    channel = followed(settings)
    nobody = replace(EVERYBODY, seen=np.array([10]), follows=Follows())
    assert channel.find(nobody, 5) is None
    daily = replace(nobody, follows=Follows(np.array([7, 99])))
    assert ids(channel.find(daily, 5)) == [30]
    pushed = replace(nobody, follows=Follows(np.array([7]), np.array([40, 777])))
    assert ids(channel.find(pushed, 5)) == [40, 30, 20], "40 is of uploader 8, of 777 nothing is known"
    outside = Scope(outside=np.array([40]))
    assert ids(channel.find(pushed, 5, outside)) == [30, 20]


def test_only_what_a_release_uses_of_a_user_is_read(settings: Settings) -> None:
    plain, capped = MergeConfig(), MergeConfig(cap=ImpressionCap(max_shown=3))
    assert unread_views(plain, {"ease": neighbours(settings)}) == {USER_FOLLOWS, USER_SHOWN}
    assert unread_views(capped, {"followed": followed(settings)}) == frozenset()


def test_popular_videos_are_those_of_the_segment_then_of_all(settings: Settings) -> None:
    found = popular(settings).find(EVERYBODY, 9)
    assert ids(found) == [40, 30, 20, 50]
    assert found is not None
    assert found.lists.scores[0].tolist() == [3.0, 1.0, 0.0, 0.0]  # scores of two lists do not compare


def test_stored_interests_search_each_for_itself(settings: Settings) -> None:
    # East orders 30 (.9), 50 (.6), 40 (.2), 20 (0); north 20 (1), 40 (.8), 50 (.6), 30 (.1).
    found = stored(settings).find(EVERYBODY, 4)
    assert ids(found) == [20, 30, 40, 50]
    assert found is not None
    assert found.lists.interests[0].tolist() == [1, 0, 1, 0]
    assert found.interests is not None
    assert found.interests.activation.tolist() == [0.5, 0.5]


def test_a_look_up_of_this_bundle_goes_before_the_rows_of_the_file(settings: Settings) -> None:
    fresh = replace(EVERYBODY, vectors=UserVectors(np.array([EAST], np.float32), np.ones(1, np.float32)))
    assert ids(stored(settings, is_looked_up=True).find(fresh, 2)) == [30, 50]
    # Vectors of another bundle live in another space.
    other = Settings(home=settings.root / "other")
    assert ids(stored(other).find(fresh, 2)) == [20, 30]
