"""From a user id to candidates: one look-up, the interests, one batched search, the merge.

Everything in one ``Recaller`` belongs to one release, so that no answer mixes versions. It knows nothing of
HTTP. A user always gets something where anything may be shown; ``reason`` says why it is not (only) what
the interests found.

Shape letters: K interests, D dimensions, M hits per interest, N results, S videos seen.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import structlog
from jaxtyping import Int64

from features.bundle import open_bundle
from features.errors import StoreUnavailableError
from features.merge import NO_VIDEO, merge_hits
from features.release import Release, current_release, open_registry
from features.settings import Settings
from features.user_features import UserFeatures
from serving.catalogue import Catalogue
from serving.errors import IndexUnavailableError, NoReleaseError
from serving.index import CandidateIndex, Hits
from serving.interests import InterestExtractor, UserInterests
from serving.lookup import TimedLookup, open_lookup
from serving.milvus import MilvusConnection
from serving.milvus_index import MilvusIndex
from features.popular import PopularVideos
from serving.release import INTERESTS, POPULAR
from serving.result import NO_INTEREST, Candidate, Interest, Reason, RecallResult, Stopwatch, top_tags
from serving.settings import ServingSettings

log = structlog.get_logger(__name__)

NOBODY_SEEN: np.ndarray = np.empty(0, dtype=np.int64)


class Recaller:
    """Answers from one release.

    Args:
        release: what every answer names.
        users: where histories come from.
    """

    def __init__(
        self,
        release: Release,
        *,
        users: TimedLookup,
        extractor: InterestExtractor,
        index: CandidateIndex,
        popular: PopularVideos,
        catalogue: Catalogue,
    ) -> None:
        self.release = release
        self._users = users
        self._extractor = extractor
        self._index = index
        self._popular = popular
        self._catalogue = catalogue

    def recall(self, user_id: int, top_n: int = 200, explain: bool = False) -> RecallResult:
        """The ``top_n`` best videos that the user has not seen, with the interest that found each.

        Args:
            explain: also report every interest, the pruned ones included.
        """
        watch = Stopwatch()
        try:
            with watch.stage("features"):
                user = self._users.lookup(user_id)
        except StoreUnavailableError as error:
            log.warning("features unavailable", user_id=user_id, error=str(error))
            return self._popular_result(user_id, None, top_n, Reason.FEATURES_UNAVAILABLE, watch)
        if user is None:
            return self._popular_result(user_id, None, top_n, Reason.UNKNOWN_USER, watch)
        with watch.stage("interests"):
            # The moment that the history was built for: as in training, not the clock of this machine.
            now = user.feature_time or datetime.now(UTC)
            interests = self._extractor.extract(user_id, user.history, now)
        if interests is None:
            return self._popular_result(user_id, user, top_n, Reason.NO_HISTORY, watch)
        try:
            with watch.stage("search"):
                hits = self._search(interests, top_n, user.seen)
        except IndexUnavailableError as error:
            log.warning("index unavailable", user_id=user_id, error=str(error))
            return self._popular_result(user_id, user, top_n, Reason.INDEX_UNAVAILABLE, watch)
        with watch.stage("merge"):
            result = self._merge(user, hits, top_n)
            if explain:
                result = replace(result, interests=_explain(interests, hits, result.candidates))
        return replace(result, stage_seconds=watch.seconds)

    def problems(self) -> dict[str, str]:
        """What is missing for full answers, by dependency; empty if nothing is."""
        found = {}
        try:
            self._index.check()
        except IndexUnavailableError as error:
            found["milvus"] = str(error)
        try:
            self._users.check()
        except StoreUnavailableError as error:
            found["features"] = str(error)
        return found

    def warm(self) -> None:
        """Touch everything once, so that the first request does not pay for it."""
        self._users.warm()
        try:
            self._index.check()
        except IndexUnavailableError as error:
            log.warning("index not ready", error=str(error))

    def _search(self, interests: UserInterests, limit: int, seen: Int64[np.ndarray, " S"]) -> Hits:
        """Hits in one row per interest; pruned interests found nothing."""
        searched = np.flatnonzero(interests.is_searched)
        found = self._index.search(interests.vectors[searched], limit, exclude=self._catalogue.known(seen))
        shape = (len(interests.vectors), found.video_ids.shape[1])
        video_ids = np.full(shape, NO_VIDEO, dtype=np.int64)
        scores = np.full(shape, -np.inf, dtype=np.float32)
        video_ids[searched], scores[searched] = found.video_ids, found.scores
        return Hits(video_ids, scores)

    def _merge(self, user: UserFeatures, hits: Hits, top_n: int) -> RecallResult:
        merged = merge_hits(hits.video_ids[None], hits.scores[None], top_n)
        kept = np.flatnonzero(merged.video_ids[0] != NO_VIDEO)
        video_ids = merged.video_ids[0][kept]
        found_by = np.stack([np.isin(video_ids, found) for found in hits.video_ids])  # (K, N)
        candidates = self._candidates(video_ids, merged.scores[0][kept], merged.interests[0][kept], found_by)
        reason = None
        if len(candidates) < top_n:
            reason = Reason.SHORT_LIST
            candidates += self._popular_candidates(
                user, top_n - len(candidates), np.concatenate([user.seen, video_ids])
            )
        return RecallResult(user.user_id, self.release.version, reason, (), tuple(candidates))

    def _popular_result(
        self, user_id: int, user: UserFeatures | None, top_n: int, reason: Reason, watch: Stopwatch
    ) -> RecallResult:
        with watch.stage("merge"):
            seen = NOBODY_SEEN if user is None else user.seen
            candidates = tuple(self._popular_candidates(user, top_n, seen))
        return RecallResult(user_id, self.release.version, reason, (), candidates, watch.seconds)

    def _popular_candidates(
        self, user: UserFeatures | None, limit: int, exclude: Int64[np.ndarray, " S"]
    ) -> list[Candidate]:
        top = self._popular.top(user.segment if user else None, limit, exclude=exclude)
        nobody = np.zeros((0, len(top.video_ids)), dtype=bool)
        interests = np.full(len(top.video_ids), NO_INTEREST)
        return self._candidates(top.video_ids, top.scores, interests, nobody)

    def _candidates(
        self, video_ids: np.ndarray, scores: np.ndarray, interests: np.ndarray, found_by: np.ndarray
    ) -> list[Candidate]:
        found_also = [
            tuple(k for k in np.flatnonzero(column).tolist() if k != interest)
            for column, interest in zip(found_by.T, interests.tolist(), strict=True)
        ]
        columns = zip(
            video_ids.tolist(),
            scores.tolist(),
            interests.tolist(),
            found_also,
            self._catalogue.attributes(video_ids),
            strict=True,
        )
        return [
            Candidate(video_id, score, interest, also, tuple(tags), uploader)
            for video_id, score, interest, also, (tags, uploader) in columns
        ]


def open_recaller(
    settings: Settings,
    serving_settings: ServingSettings | None = None,
    *,
    release: Release | None = None,
    users: TimedLookup | None = None,
    connection: MilvusConnection | None = None,
) -> Recaller:
    """A recaller for ``release``, by default the one that is live.

    Raises:
        NoReleaseError: nothing is published.
        BundleError: a bundle of the release is damaged.
    """
    serving_settings = serving_settings or ServingSettings()
    release = release or current_release(open_registry(settings))
    if release is None:
        raise NoReleaseError("no release is live yet; train a bundle and run `facet publish BUNDLE`")
    interests = open_bundle(release.bundle_path(settings, INTERESTS))
    ranking = open_bundle(release.bundle_path(settings, POPULAR)) if POPULAR in release.bundles else None
    timeout = serving_settings.features_timeout_ms / 1000
    recaller = Recaller(
        release,
        users=users or open_lookup(settings, timeout_seconds=timeout),
        extractor=InterestExtractor(interests),
        index=MilvusIndex(
            connection or MilvusConnection(serving_settings),
            release.collections[INTERESTS],
            timeout_seconds=serving_settings.search_timeout_ms / 1000,
            num_videos=len(interests.video_ids),
        ),
        popular=PopularVideos.from_bundles(interests, ranking),
        catalogue=Catalogue(interests),
    )
    recaller.warm()
    return recaller


def _explain(interests: UserInterests, hits: Hits, candidates: tuple[Candidate, ...]) -> tuple[Interest, ...]:
    reports = []
    for k, weight in enumerate(interests.activation.tolist()):
        own = [candidate for candidate in candidates if candidate.interest == k]
        num_found = int((hits.video_ids[k] != NO_VIDEO).sum())
        is_searched = bool(interests.is_searched[k])
        reports.append(Interest(k, weight, is_searched, num_found, len(own), top_tags(own)))
    return tuple(reports)
