"""An answer is never made of two releases, whatever part is exchanged for that of another one."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from features.bundle import Bundle, open_bundle
from features.merge_config import INTERESTS
from features.popular import PopularVideos
from features.release import Release
from features.settings import Settings
from serving.agreement import require_agreement, require_release
from serving.catalogue import Catalogue
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.vector_search import VectorSearch
from serving.errors import ReleaseMismatchError
from serving.index import Hits
from serving.interests import InterestExtractor
from serving.metrics import Metrics
from serving.recall import Recaller
from serving.result import LeftOut, Reason, RecallResult
from tests.serving.bundles import VECTORS, exact_index, write_interests
from tests.serving.users import POSITIVE, timed, user

OTHER_VECTORS = VECTORS[:, ::-1].copy()
"""The same videos; who cooked plays football."""
RELEASE = Release(
    "r1",
    "live",
    {INTERESTS: "tiny/v1"},
    {INTERESTS: "videos_tiny_v1"},
    datetime(2026, 1, 22),  # noqa: DTZ001 - as the registry stores it
    1,
)


def both(settings: Settings) -> tuple[Bundle, Bundle]:
    other = write_interests(settings, "v2", vectors=OTHER_VECTORS)
    return open_bundle(write_interests(settings)), open_bundle(other)


def answer(interests: Bundle, videos: Bundle, vectors: np.ndarray) -> RecallResult:
    """With interests of one bundle, videos in memory of another, and an index of these vectors."""
    search = VectorSearch(exact_index(vectors=vectors), videos)
    recaller = Recaller(
        RELEASE,
        users=timed(user(1, [(20, POSITIVE), (10, POSITIVE)])),
        channels={INTERESTS: MultiInterestChannel(InterestExtractor(interests), search)},
        popular=PopularVideos.of_channels({INTERESTS: interests}),
        catalogue=Catalogue(interests),
    )
    return recaller.recall(1, 3)


def test_an_index_of_another_release_is_left_out_and_counted(settings: Settings) -> None:
    own, _ = both(settings)
    assert answer(own, own, VECTORS).left_out == {}
    mixed = answer(own, own, OTHER_VECTORS)
    assert mixed.left_out == {INTERESTS: LeftOut.MISMATCH}
    assert mixed.reason is Reason.INDEX_UNAVAILABLE
    assert all(not candidate.also_found_by and candidate.interest < 0 for candidate in mixed.candidates)
    metrics = Metrics()
    metrics.count_answer(mixed, 0.01, top_n=3)
    assert metrics.samples()["facet_release_mismatch_total", ()] == 1


def test_interests_of_another_release_are_left_out_though_the_scores_are_right(settings: Settings) -> None:
    own, other = both(settings)
    assert answer(other, own, VECTORS).left_out == {INTERESTS: LeftOut.MISMATCH}


def test_vectors_in_memory_of_another_release_are_noticed(settings: Settings) -> None:
    own, other = both(settings)
    queries = own.vectors[:2]
    hits = exact_index().search(queries, 3, exclude=np.empty(0, dtype=np.int64))
    require_agreement(queries, hits, own)
    with pytest.raises(ReleaseMismatchError, match=r"vectors of bundle tiny/v2: \d of 6 scores are right"):
        require_agreement(queries, hits, other)


def test_one_video_with_a_newer_vector_is_no_mismatch_and_most_of_them_are(settings: Settings) -> None:
    own, _ = both(settings)
    queries = own.vectors[:1]
    hits = exact_index().search(queries, 5, exclude=np.empty(0, dtype=np.int64))
    newer = hits.scores.copy()
    newer[0, :2] += 0.5
    require_agreement(queries, Hits(hits.video_ids, newer), own)
    newer[0, :3] += 0.5
    with pytest.raises(ReleaseMismatchError, match="2 of 5 scores"):
        require_agreement(queries, Hits(hits.video_ids, newer), own)


def test_videos_that_the_release_does_not_have_are_a_mismatch(settings: Settings) -> None:
    own, _ = both(settings)
    hits = Hits(np.array([[60, 70]]), np.array([[1.0, 0.9]], dtype=np.float32))
    with pytest.raises(ReleaseMismatchError, match="0 of 2 scores"):
        require_agreement(own.vectors[:1], hits, own)


def test_no_hits_at_all_agree(settings: Settings) -> None:
    own, _ = both(settings)
    hits = Hits(np.full((1, 3), -1), np.full((1, 3), -np.inf, dtype=np.float32))
    require_agreement(own.vectors[:1], hits, own)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (replace(RELEASE, bundles={INTERESTS: "tiny/v2"}), "is bundle tiny/v2, but tiny/v1 was opened"),
        (replace(RELEASE, collections={INTERESTS: "videos_tiny_v2"}), "its bundle fills 'videos_tiny_v1'"),
    ],
)
def test_a_release_is_not_opened_with_parts_of_another(
    settings: Settings, named: Release, message: str
) -> None:
    own, _ = both(settings)
    require_release(RELEASE, {INTERESTS: own})
    with pytest.raises(ReleaseMismatchError, match=message):
        require_release(named, {INTERESTS: own})
