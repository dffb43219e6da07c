"""From a user id to candidates: one look-up, all channels at once, the merge.

Everything in one ``Recaller`` belongs to one release, so that no answer mixes versions. It knows nothing of
HTTP. A user always gets something where anything may be shown; ``reason`` says why it is not (only) what
the channels found. ``recall-batch --release`` gives the same list offline.

Shape letters: N results, H videos hidden from everybody, C videos shown often enough, M more, U union.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import structlog
from jaxtyping import Int64

from features.arrange import Limits, arrange
from features.bundle import Bundle
from features.channels import reopen_channels
from features.errors import StoreUnavailableError
from features.filters import NO_FILTERS, VideoFilters
from features.hidden import hidden_videos, unlisted_videos
from features.history import History
from features.impressions import capped_videos
from features.live_items import live_items
from features.merge import NO_VIDEO, fuse, nothing
from features.merge_config import INTERESTS, POPULAR, Arrangement, MergeConfig
from features.overlay import overlay_stamps
from features.penalty import is_disliked, penalties_of
from features.popular import PopularVideos
from features.release import Release, current_release, open_registry
from features.settings import Settings
from features.user_features import UserFeatures
from serving.agreement import require_release
from serving.catalogue import NOTHING, Catalogue
from serving.channels import Channel, Scope
from serving.channels.asking import Asked, Asker
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.opening import looked_up_bundle, open_asked, unread_views
from serving.errors import IndexUnavailableError, NoReleaseError, UnknownVideoError
from serving.index_checks import WatchedIndex
from serving.lookup import TimedLookup, open_lookup
from serving.milvus import MilvusConnection
from serving.offline import OfflineVideos
from serving.origins import explained, origins_of
from serving.result import NO_INTEREST, Candidate, LeftOut, Origin, Reason, RecallResult, Rule, Stopwatch
from serving.settings import ServingSettings
from serving.tally import tally_of

log = structlog.get_logger(__name__)

Hidden = Callable[[], Int64[np.ndarray, " H"]]


def nothing_hidden() -> Int64[np.ndarray, " H"]:
    """No video at all."""
    return np.empty(0, dtype=np.int64)


class Recaller:
    """Answers from one release.

    Args:
        release: what every answer names, and how the channels are merged.
        users: where histories come from.
        channels: by name, those that the merge gives a weight.
        popular: answers where no channel knows the user, and fills short lists.
        hidden: ids that nobody may be shown, whatever the release says.
        timeout_seconds: a channel that takes longer is left out.
        looked_up: bundle whose rows of the user the look-up brings.
    """

    def __init__(
        self,
        release: Release,
        *,
        users: TimedLookup,
        channels: Mapping[str, Channel],
        popular: PopularVideos,
        catalogue: Catalogue,
        hidden: Hidden = nothing_hidden,
        timeout_seconds: float = 1.0,
        looked_up: str | None = None,
    ) -> None:
        self.release = release
        self.overlays: tuple[int | None, ...] = ()
        """Stamps of the overlays that it was opened with, see ``features/overlay.py``."""
        self.catalogue = catalogue
        self._users = users
        self._asker = Asker(channels, timeout_seconds=timeout_seconds)
        self._popular = popular
        self._hidden = hidden
        self._looked_up, self._unread = looked_up, unread_views(release.merge, channels)

    def recall(
        self,
        user_id: int,
        top_n: int = 200,
        explain: bool = False,
        *,
        filters: VideoFilters = NO_FILTERS,
        exclude: Sequence[int] = (),
        arrangement: Arrangement | None = None,
        known: UserFeatures | None = None,
    ) -> RecallResult:
        """The ``top_n`` best videos that the user has not seen, with the channels that found each.

        Args:
            explain: also report every interest, the pruned ones included.
            filters: what all videos of the answer have in common.
            exclude: ids that the caller has already.
            arrangement: instead of the release's own.
            known: what ``look_up`` brought already.
        """
        watch = Stopwatch()
        merge = self.release.merge
        if arrangement is not None:
            merge = merge.model_copy(update={"arrange": arrangement})
        scope = Scope(filters, self.catalogue.outside(filters), merge.arrange)
        hidden = _with(self._hidden(), np.array(exclude, dtype=np.int64))
        try:
            with watch.stage("features"):
                user = known or self._users.lookup(user_id, self._looked_up, self._unread)
        except StoreUnavailableError as error:
            log.warning("features unavailable", user_id=user_id, error=str(error))
            user, reason = _stranger(user_id, hidden), Reason.FEATURES_UNAVAILABLE
            return self._popular_result(user, scope, top_n, reason, watch)
        if user is None:
            user, reason = _stranger(user_id, hidden), Reason.UNKNOWN_USER
            return self._popular_result(user, scope, top_n, reason, watch)
        num_seen = len(user.seen)
        user = replace(user, seen=_with(user.seen, hidden))
        depth = self._depth_of(user, merge, top_n)
        unseen = replace(user, seen=_with(user.seen, self._capped(user)))
        asked = self._asker.ask(unseen, depth, scope)
        watch.add(asked.seconds)
        ruled_out = {
            Rule.SEEN: num_seen,
            Rule.HIDDEN: len(hidden),
            Rule.CAPPED: len(unseen.seen) - len(user.seen),
            Rule.FILTERS: len(scope.outside),
        }
        tally = tally_of(asked, ruled_out, num_unread=len(user.history.video_ids))
        if not asked.found.keys() - {POPULAR}:
            reason = Reason.INDEX_UNAVAILABLE if asked.left_out else Reason.NO_HISTORY
            result = self._popular_result(user, scope, top_n, reason, watch, asked.left_out)
            return replace(result, tally=tally)
        with watch.stage("merge"):
            result = self._merge(user, scope, asked, merge, top_n, depth)
            if explain:
                result = replace(result, interests=explained(asked, result.candidates))
        return replace(result, stage_seconds=watch.seconds, tally=tally)

    def look_up(self, user_id: int) -> UserFeatures | None:
        """Features of a user, what training recorded of the interests included; for people who look.

        Raises:
            StoreUnavailableError: the feature store did not answer.
        """
        return self._users.lookup(user_id, self._looked_up or self.release.bundles[INTERESTS])

    def similar(self, video_id: int, top_n: int) -> list[Candidate]:
        """The ``top_n`` videos nearest to another, by the vectors of the channel ``interests``.

        Raises:
            UnknownVideoError: the release does not know the video.
            IndexUnavailableError: Milvus did not answer.
        """
        channel = self._asker.channels.get(INTERESTS)
        if not isinstance(channel, MultiInterestChannel):
            raise UnknownVideoError(f"release {self.release.version} does not search by vectors")
        vector = self.catalogue.vector(video_id)
        found = channel.nearest(vector, top_n, exclude=np.union1d(self._hidden(), [video_id]))
        is_there = found.video_ids[0] != NO_VIDEO
        video_ids, scores = found.video_ids[0][is_there], found.scores[0][is_there]
        origins = [(Origin(INTERESTS, rank, ()),) for rank in range(len(video_ids))]
        return self._candidates(video_ids, scores, origins)

    @property
    def indexes(self) -> dict[str, WatchedIndex]:
        """What the channels search, by channel; those that search nothing are left out."""
        found = {name: getattr(channel, "index", None) for name, channel in self._asker.channels.items()}
        return {name: index for name, index in found.items() if isinstance(index, WatchedIndex)}

    def problems(self) -> dict[str, str]:
        """What is missing for full answers, by dependency; empty if nothing is."""
        found = {}
        for channel in self._asker.channels.values():
            try:
                channel.check()
            except IndexUnavailableError as error:
                found["milvus"] = str(error)
        try:
            self._users.check(self._looked_up)
        except StoreUnavailableError as error:
            found["features"] = str(error)
        return found

    def warm(self) -> None:
        """Touch everything once, so that the first request does not pay for it."""
        self._users.warm(self._looked_up)
        for name, channel in self._asker.channels.items():
            try:
                channel.check()
            except IndexUnavailableError as error:
                log.warning("channel not ready", channel=name, error=str(error))

    def _merge(
        self, user: UserFeatures, scope: Scope, asked: Asked, merge: MergeConfig, top_n: int, depth: int
    ) -> RecallResult:
        lists = {name: found.lists for name, found in asked.found.items()}
        # They keep their weight, as offline, where lists are fused for many users at once.
        lists |= {name: nothing(1, 1) for name in asked.unknowing}
        fused = fuse(lists, merge, depth)
        now = user.feature_time or datetime.now(UTC)
        penalties = penalties_of(fused, [user.history], self.catalogue.facts, merge.penalty, now)
        merged = arrange(fused, self.catalogue.facts, merge.arrange, top_n, penalties)
        kept = merged.video_ids[0] != NO_VIDEO
        video_ids = merged.video_ids[0][kept]
        candidates = self._candidates(video_ids, merged.scores[0][kept], origins_of(video_ids, asked))
        reason = Reason.CHANNEL_LEFT_OUT if asked.left_out else None
        if len(candidates) < top_n:
            reason = reason or Reason.SHORT_LIST
            seen = np.concatenate([user.seen, video_ids])
            rest = replace(user, seen=seen)
            candidates += self._popular_candidates(rest, scope, top_n - len(candidates), video_ids)
        return RecallResult(user.user_id, self.release.version, reason, (), tuple(candidates), asked.left_out)

    def _depth_of(self, user: UserFeatures, merge: MergeConfig, top_n: int) -> int:
        is_penalised = merge.penalty.is_set and bool(is_disliked(user.history).any())
        return merge.depth_of(self._asker.channels, top_n, is_penalised=is_penalised)

    def _capped(self, user: UserFeatures) -> Int64[np.ndarray, " C"]:
        """Videos that the user was shown often enough."""
        return capped_videos(user.shown, self.release.merge.cap, user.feature_time)

    def _popular_result(
        self,
        user: UserFeatures,
        scope: Scope,
        top_n: int,
        reason: Reason,
        watch: Stopwatch,
        left_out: Mapping[str, LeftOut] | None = None,
    ) -> RecallResult:
        with watch.stage("merge"):
            candidates = tuple(self._popular_candidates(user, scope, top_n))
        return RecallResult(
            user.user_id, self.release.version, reason, (), candidates, dict(left_out or {}), watch.seconds
        )

    def _popular_candidates(
        self, user: UserFeatures, scope: Scope, limit: int, chosen: Int64[np.ndarray, " N"] = NOTHING
    ) -> list[Candidate]:
        exclude = np.concatenate([user.seen, scope.outside])
        limits = Limits(scope.arrange, self.catalogue.facts, chosen)
        top = self._popular.fill(user.segment, limit, exclude=exclude, last=self._capped(user), limits=limits)
        origins = [(Origin(POPULAR, rank, ()),) for rank in range(len(top.video_ids))]
        return self._candidates(top.video_ids, top.scores, origins)

    def _candidates(
        self, video_ids: Int64[np.ndarray, " N"], scores: np.ndarray, origins: Sequence[tuple[Origin, ...]]
    ) -> list[Candidate]:
        columns = zip(
            video_ids.tolist(),
            scores.tolist(),
            map(_first_interests, origins),
            self.catalogue.attributes(video_ids),
            origins,
            strict=True,
        )
        return [
            Candidate(video_id, score, own[0] if own else NO_INTEREST, own[1:], tags, uploader, found_by)
            for video_id, score, own, (tags, uploader), found_by in columns
        ]


def _first_interests(origins: tuple[Origin, ...]) -> tuple[int, ...]:
    """Those of the first channel that has some."""
    for origin in origins:
        if origin.interests:
            return origin.interests
    return ()


def _with(ids: Int64[np.ndarray, " N"], more: Int64[np.ndarray, " M"]) -> Int64[np.ndarray, " U"]:
    """Ascending and distinct, as ``ids`` is."""
    return np.union1d(ids, more) if len(more) else ids


def _stranger(user_id: int, hidden: Int64[np.ndarray, " H"]) -> UserFeatures:
    """A user of whom nothing is known."""
    return UserFeatures(user_id, History((), (), ()), hidden)


def open_recaller(
    settings: Settings,
    serving_settings: ServingSettings | None = None,
    *,
    release: Release | None = None,
    users: TimedLookup | None = None,
    connection: MilvusConnection | None = None,
    hidden: Hidden | None = None,
) -> Recaller:
    """A recaller for ``release``, by default the one that is live.

    Raises:
        NoReleaseError: nothing is published.
        BundleError: a bundle of the release is damaged.
        ReleaseMismatchError: a bundle, or the collection built from it, is not the release's.
    """
    serving_settings = serving_settings or ServingSettings()
    release = release or current_release(open_registry(settings))
    if release is None:
        raise NoReleaseError("no release is live yet; train a bundle and run `facet publish BUNDLE`")
    bundles: dict[str, Bundle] = reopen_channels(release.bundles, settings)
    require_release(release, bundles)
    overlays = overlay_stamps(settings, release.bundles.values())  # before they are read: newer ones show
    live = live_items(bundles, settings)
    timeout = serving_settings.search_timeout_ms / 1000
    recaller = Recaller(
        release,
        users=users or open_lookup(settings, timeout_seconds=serving_settings.features_timeout_ms / 1000),
        channels=open_asked(
            release,
            bundles,
            live,
            connection or MilvusConnection(serving_settings),
            timeout_seconds=timeout,
        ),
        popular=PopularVideos.of_channels(bundles),
        catalogue=Catalogue(bundles[INTERESTS], live[INTERESTS], unlisted_videos(bundles, live[INTERESTS])),
        hidden=_also_hidden(hidden or OfflineVideos(settings).read, hidden_videos(bundles, live)),
        timeout_seconds=timeout,
        looked_up=looked_up_bundle(release, bundles),
    )
    recaller.overlays = overlays
    recaller.warm()
    return recaller


def _also_hidden(hidden: Hidden, offline: Int64[np.ndarray, " H"]) -> Hidden:
    """What ``hidden`` says, and videos that the catalogue does not show."""
    return lambda: _with(hidden(), offline)
