"""The channels of a release, each from its bundle and, if it searches vectors, its collection."""

from collections.abc import Mapping

from features.bundle import INTERESTS_KIND, NEIGHBOURS_KIND, STORED_INTERESTS_KIND, UPLOADS_KIND, Bundle
from features.live_items import LiveItems
from features.merge_config import INTERESTS, MergeConfig
from features.neighbours import Neighbours
from features.popular import PopularVideos
from features.release import Release
from features.snapshots import USER_FOLLOWS, USER_SHOWN
from features.uploads import Uploads
from features.user_vectors import StoredVectors
from serving.channels import Channel
from serving.channels.followed import FollowedChannel
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.neighbours import NeighboursChannel
from serving.channels.popular import PopularChannel
from serving.channels.stored_interests import StoredInterestsChannel
from serving.channels.vector_search import VectorSearch
from serving.index import ExactIndex
from serving.index_checks import WatchedIndex
from serving.interests import InterestExtractor
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex


def open_asked(
    release: Release,
    bundles: Mapping[str, Bundle],
    live: Mapping[str, LiveItems],
    connection: MilvusConnection,
    *,
    timeout_seconds: float,
) -> dict[str, Channel]:
    """The channels that the release's merge gives a weight, in its order.

    Args:
        live: the videos of today of those that have items.
    """
    looked_up = looked_up_bundle(release, bundles)

    def searching(name: str) -> VectorSearch:
        videos = live[name].indexed
        index = MilvusIndex(connection, release.collections[name], timeout_seconds=timeout_seconds)
        watched = WatchedIndex(index, lambda: ExactIndex(videos.items))
        return VectorSearch(watched, live[name], min_share=release.merge.min_share)

    def opened(name: str, bundle: Bundle) -> Channel:
        kind = bundle.manifest.kind
        if kind == INTERESTS_KIND:
            extractor = InterestExtractor(bundle, vocabulary=live[name].history_vocabulary)
            return MultiInterestChannel(extractor, searching(name))
        if kind == STORED_INTERESTS_KIND:
            is_looked_up = bundle.name == looked_up
            stored = StoredVectors(bundle.user_interests)
            return StoredInterestsChannel(stored, searching(name), is_looked_up=is_looked_up)
        if kind == NEIGHBOURS_KIND:
            return NeighboursChannel(Neighbours.of(bundle))
        if kind == UPLOADS_KIND:
            return FollowedChannel(Uploads.of(bundle), live[INTERESTS])
        return PopularChannel(PopularVideos.of_ranking(bundle))

    return {name: opened(name, bundles[name]) for name in release.merge.asked(bundles)}


def looked_up_bundle(release: Release, bundles: Mapping[str, Bundle]) -> str | None:
    """The bundle whose rows of users a look-up brings; ``None`` if no channel needs any.

    One look-up names one bundle: of several with stored interests the others read their own file.
    """
    kinds = {name: bundles[name].manifest.kind for name in release.merge.asked(bundles)}
    stored = [name for name, kind in kinds.items() if kind == STORED_INTERESTS_KIND]
    return release.bundles[stored[0]] if stored else None


def unread_views(merge: MergeConfig, channels: Mapping[str, Channel]) -> frozenset[str]:
    """Views of a user that these channels and the rules of the merge have no use for."""
    unread = set()
    if not any(isinstance(channel, FollowedChannel) for channel in channels.values()):
        unread.add(USER_FOLLOWS)
    if merge.cap.max_shown is None:
        unread.add(USER_SHOWN)
    return frozenset(unread)
