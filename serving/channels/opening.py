"""The channels of a release, each from its bundle and, if it searches vectors, its collection."""

from collections.abc import Mapping

from features.bundle import INTERESTS_KIND, NEIGHBOURS_KIND, STORED_INTERESTS_KIND, Bundle
from features.neighbours import Neighbours
from features.popular import PopularVideos
from features.release import Release
from features.user_vectors import StoredVectors
from serving.channels import Channel
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.neighbours import NeighboursChannel
from serving.channels.popular import PopularChannel
from serving.channels.stored_interests import StoredInterestsChannel
from serving.channels.vector_search import VectorSearch
from serving.interests import InterestExtractor
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex


def open_asked(
    release: Release,
    bundles: Mapping[str, Bundle],
    connection: MilvusConnection,
    *,
    timeout_seconds: float,
) -> dict[str, Channel]:
    """The channels that the release's merge gives a weight, in its order."""
    looked_up = looked_up_bundle(release, bundles)

    def searching(name: str, bundle: Bundle) -> VectorSearch:
        index = MilvusIndex(
            connection,
            release.collections[name],
            timeout_seconds=timeout_seconds,
            num_videos=len(bundle.video_ids),
        )
        return VectorSearch(index, bundle.vocabulary)

    def opened(name: str, bundle: Bundle) -> Channel:
        kind = bundle.manifest.kind
        if kind == INTERESTS_KIND:
            return MultiInterestChannel(InterestExtractor(bundle), searching(name, bundle))
        if kind == STORED_INTERESTS_KIND:
            is_looked_up = bundle.name == looked_up
            stored = StoredVectors(bundle.user_interests)
            return StoredInterestsChannel(stored, searching(name, bundle), is_looked_up=is_looked_up)
        if kind == NEIGHBOURS_KIND:
            return NeighboursChannel(Neighbours.of(bundle))
        return PopularChannel(PopularVideos.of_ranking(bundle))

    return {name: opened(name, bundles[name]) for name in release.merge.asked(bundles)}


def looked_up_bundle(release: Release, bundles: Mapping[str, Bundle]) -> str | None:
    """The bundle whose rows of users a look-up brings; ``None`` if no channel needs any.

    One look-up names one bundle: of several with stored interests the others read their own file.
    """
    kinds = {name: bundles[name].manifest.kind for name in release.merge.asked(bundles)}
    stored = [name for name, kind in kinds.items() if kind == STORED_INTERESTS_KIND]
    return release.bundles[stored[0]] if stored else None
