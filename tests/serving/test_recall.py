"""Recall over the five videos of ``bundles.py``, searched exactly; every list is worked out by hand.

The newest watch is interest 0, the one before it interest 1. Scores are inner products:

===== ============ ============== ==============
video vector       with 10 (1, 0) with 20 (0, 1)
===== ============ ============== ==============
10    (1.0, 0.0)   1.0            0.0
20    (0.0, 1.0)   0.0            1.0
30    (0.9, 0.1)   0.9            0.1
40    (0.2, 0.8)   0.2            0.8
50    (0.6, 0.6)   0.6            0.6
===== ============ ============== ==============
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pytest
from jaxtyping import Float32, Int64

from features.bundle import Bundle, open_bundle
from features.capacity import Capacity
from features.filters import NO_FILTERS, VideoFilters
from features.history import History
from features.merge_config import INTERESTS, POPULAR, Arrangement
from features.popular import PopularVideos
from features.release import Release
from features.settings import Settings
from features.user_features import UserFeatures
from serving.catalogue import Catalogue
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.vector_search import VectorSearch
from serving.errors import IndexUnavailableError, UnknownVideoError
from serving.index import CandidateIndex, Hits
from serving.interests import InterestExtractor, UserInterests
from serving.lookup import TimedLookup
from serving.recall import Recaller
from serving.result import Candidate, Reason
from tests.serving.bundles import VIDEO_IDS, exact_index, write_interests, write_ranking
from tests.serving.users import NOW, PLAYED, POSITIVE, BrokenStore, timed, user

BOTH = [(20, POSITIVE), (10, POSITIVE)]
"""Interest 0 is that of video 10, interest 1 that of video 20; each won half of the positives."""


class LostIndex:
    """An index that does not answer."""

    def search(
        self,
        queries: Float32[np.ndarray, "K D"],
        limit: int,
        *,
        exclude: Int64[np.ndarray, " S"],
        filters: VideoFilters = NO_FILTERS,
    ) -> Hits:
        raise IndexUnavailableError("Milvus does not answer; start it")

    def check(self) -> None:
        raise IndexUnavailableError("Milvus does not answer; start it")


class RecordingExtractor(InterestExtractor):
    """Remembers which moments ages were counted from."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.moments: list[datetime] = []

    def extract(
        self, user_id: int, history: History, now: datetime, tokens: Sequence[str] = ()
    ) -> UserInterests | None:
        self.moments.append(now)
        return super().extract(user_id, history, now, tokens)


def recaller(
    settings: Settings,
    *users: UserFeatures,
    lookup: TimedLookup | None = None,
    index: CandidateIndex | None = None,
    extractor: InterestExtractor | None = None,
    popular: dict[str | None, list[int]] | None = None,
    unlisted: Sequence[int] = (),
) -> Recaller:
    interests = open_bundle(write_interests(settings))
    ranking = open_bundle(write_ranking(settings, popular)) if popular else None
    bundles = {INTERESTS: interests} | ({POPULAR: ranking} if ranking else {})
    search = VectorSearch(index or exact_index(), interests)
    return Recaller(
        Release("r1", "live", {}, {}, datetime(2026, 1, 22), 1),  # noqa: DTZ001 - as the registry stores it
        users=lookup or timed(*users),
        channels={INTERESTS: MultiInterestChannel(extractor or InterestExtractor(interests), search)},
        popular=PopularVideos.of_channels(bundles),
        catalogue=Catalogue(interests, unlisted=np.array(unlisted, dtype=np.int64)),
    )


def listed(candidates: tuple[Candidate, ...]) -> list[tuple[int, int]]:
    return [(candidate.video_id, candidate.interest) for candidate in candidates]


def test_each_candidate_stays_under_the_interest_that_scores_it_highest(settings: Settings) -> None:
    # 10 and 20 are seen. 30 scores .9 for interest 0, 40 .8 for interest 1, 50 .6 for both: the lower one.
    result = recaller(settings, user(1, BOTH)).recall(1, 3)
    assert listed(result.candidates) == [(30, 0), (40, 1), (50, 0)]
    assert [c.score for c in result.candidates] == pytest.approx([0.9, 0.8, 0.6])
    assert (result.reason, result.release, result.strategy) == (None, "r1", "interests")


def test_a_candidate_names_its_tags_its_uploader_and_who_else_found_it(settings: Settings) -> None:
    # With three hits each both interests find all of 30, 40 and 50.
    thirty, forty, fifty = recaller(settings, user(1, BOTH)).recall(1, 3).candidates
    assert (thirty.tags, thirty.uploader, thirty.also_found_by) == ((1,), 7, (1,))
    assert (forty.tags, forty.uploader, forty.also_found_by) == ((2,), 8, (0,))
    assert (fifty.tags, fifty.uploader, fifty.also_found_by) == ((1, 2), 9, (1,))


def test_only_interests_that_found_a_candidate_are_named(settings: Settings) -> None:
    # With two hits each interest 0 finds 30 and 50, interest 1 finds 40 and 50.
    thirty, forty = recaller(settings, user(1, BOTH)).recall(1, 2).candidates
    assert [(c.video_id, c.also_found_by) for c in (thirty, forty)] == [(30, ()), (40, ())]


def test_explain_reports_weight_hits_and_tags_of_every_interest(settings: Settings) -> None:
    first, second = recaller(settings, user(1, BOTH)).recall(1, 3, explain=True).interests
    assert (first.interest, first.weight, first.is_searched) == (0, pytest.approx(0.5), True)
    assert (first.num_found, first.num_kept, first.top_tags) == (3, 2, (1, 2))  # 30 [1] and 50 [1, 2]
    assert (second.num_found, second.num_kept, second.top_tags) == (3, 1, (2,))  # 40 [2]


def test_a_pruned_interest_is_reported_and_finds_nothing(settings: Settings) -> None:
    # Only the newest watch is a positive, so interest 1 has weight 0. Interest 0 orders 30, 50, 40.
    only_newest = user(1, [(20, PLAYED), (10, POSITIVE)])
    bundle = open_bundle(write_interests(settings))
    extractor = InterestExtractor(bundle, Capacity(prior_strength=0.1))
    home = Settings(home=settings.root / "other")
    result = recaller(home, only_newest, extractor=extractor).recall(1, 3, explain=True)
    assert listed(result.candidates) == [(30, 0), (50, 0), (40, 0)]
    assert [c.also_found_by for c in result.candidates] == [(), (), ()]
    pruned = result.interests[1]
    assert (pruned.is_searched, pruned.weight, pruned.num_found, pruned.top_tags) == (False, 0.0, 0, ())


def test_without_explain_no_interest_is_reported(settings: Settings) -> None:
    assert recaller(settings, user(1, BOTH)).recall(1, 3).interests == ()


@pytest.mark.parametrize("top_n", [1, 2, 3, 5])
def test_what_was_seen_never_comes_back(settings: Settings, top_n: int) -> None:
    seen = user(1, BOTH, seen=[10, 20, 30, 999])
    result = recaller(settings, seen, popular={None: [30, 10, 50, 40, 20]}).recall(1, top_n)
    assert [c.video_id for c in result.candidates] == [40, 50][:top_n]


def test_a_short_list_is_filled_with_popular_videos_and_says_so(settings: Settings) -> None:
    # The interests can find 40 and 50 only; 60 is popular but has no vector.
    seen = user(1, BOTH, seen=[10, 20, 30])
    result = recaller(settings, seen, popular={None: [30, 60, 50]}).recall(1, 3)
    assert listed(result.candidates) == [(40, 1), (50, 0), (60, -1)]
    assert (result.reason, result.strategy) == (Reason.SHORT_LIST, "filled")


def test_an_unknown_user_gets_popular_videos_and_the_reason(settings: Settings) -> None:
    result = recaller(settings, popular={None: [50, 20]}).recall(99, 3)
    assert listed(result.candidates) == [(50, -1), (20, -1), (10, -1)]  # then by popularity in training
    assert (result.user_id, result.reason, result.strategy) == (99, Reason.UNKNOWN_USER, "popular")


def test_without_a_popular_bundle_the_order_of_the_vocabulary_serves(settings: Settings) -> None:
    result = recaller(settings).recall(99, 3)
    assert [c.video_id for c in result.candidates] == [10, 20, 30]


def test_a_user_without_history_gets_the_list_of_the_segment(settings: Settings) -> None:
    lists = {"young": [40, 20], None: [10, 40, 50]}
    result = recaller(settings, user(1, segment="young"), popular=lists).recall(1, 4)
    assert [c.video_id for c in result.candidates] == [40, 20, 10, 50]
    assert result.reason is Reason.NO_HISTORY


def test_a_history_of_unknown_videos_counts_as_none(settings: Settings) -> None:
    result = recaller(settings, user(1, [(777, POSITIVE)])).recall(1, 2)
    assert ([c.video_id for c in result.candidates], result.reason) == ([10, 20], Reason.NO_HISTORY)


def test_a_lost_index_falls_back_to_popular_videos_without_the_seen(settings: Settings) -> None:
    lost = recaller(settings, user(1, BOTH), index=LostIndex())
    result = lost.recall(1, 2)
    assert ([c.video_id for c in result.candidates], result.reason) == ([30, 40], Reason.INDEX_UNAVAILABLE)
    assert "Milvus" in lost.problems()["milvus"]


@pytest.mark.parametrize("store", [BrokenStore(), BrokenStore(seconds=0.5)], ids=["down", "late"])
def test_a_store_that_fails_or_is_late_falls_back_to_popular_videos(
    settings: Settings, store: BrokenStore
) -> None:
    broken = recaller(settings, lookup=TimedLookup(store, timeout_seconds=0.05))
    result = broken.recall(1, 2)
    assert ([c.video_id for c in result.candidates], result.reason) == ([10, 20], Reason.FEATURES_UNAVAILABLE)
    assert result.stage_seconds["features"] < 0.4
    assert "features" in broken.problems()


def test_nothing_is_missing_when_everything_answers(settings: Settings) -> None:
    assert recaller(settings, user(1, BOTH)).problems() == {}


def test_ages_count_from_the_moment_of_the_features(settings: Settings) -> None:
    # Not from this machine's clock: offline the same user at that moment gives the same interests.
    bundle = open_bundle(write_interests(settings))
    extractor = RecordingExtractor(bundle)
    recaller(Settings(home=settings.root / "other"), user(1, BOTH), extractor=extractor).recall(1, 3)
    assert extractor.moments == [NOW]


def test_everything_seen_gives_an_empty_list_and_the_reason(settings: Settings) -> None:
    seen = user(1, BOTH, seen=VIDEO_IDS.tolist())
    result = recaller(settings, seen).recall(1, 3)
    assert (result.candidates, result.reason) == ((), Reason.SHORT_LIST)


def test_a_popular_video_that_filters_cannot_judge_does_not_pass_them(settings: Settings) -> None:
    served = recaller(settings, popular={None: [99, 30, 40]}, unlisted=[99])
    assert [c.video_id for c in served.recall(999, 2).candidates] == [99, 30]
    for filters in (VideoFilters(max_duration_seconds=35.0), VideoFilters(excluded_categories=("news",))):
        assert 99 not in [c.video_id for c in served.recall(999, 9, filters=filters).candidates]


def test_filters_and_the_callers_own_list_hold_for_every_candidate(settings: Settings) -> None:
    served = recaller(settings, user(1, BOTH), popular={None: [50, 40, 30]})
    short = VideoFilters(max_duration_seconds=40)
    assert listed(served.recall(1, 5, filters=short).candidates) == [(30, 0), (40, 1)]
    assert listed(served.recall(1, 5, exclude=[30]).candidates) == [(40, 1), (50, 0)]
    unknown = served.recall(999, 5, filters=short, exclude=[30]).candidates
    assert listed(unknown) == [(40, -1), (10, -1)]
    assert served.recall(1, 5, filters=VideoFilters(languages=("fr",))).candidates == ()


def test_an_arrangement_limits_what_one_uploader_gets(settings: Settings) -> None:
    served = recaller(settings, user(1, BOTH))
    # 30 is of uploader 7, 40 of 8, 50 of 9; with 20 and 10 seen nothing repeats, so tags do it: 1, 2, both.
    found = served.recall(1, 3, arrangement=Arrangement(max_per_tag=1)).candidates
    assert listed(found)[:2] == [(30, 0), (40, 1)]
    assert [candidate.video_id for candidate in found if candidate.interest >= 0] == [30, 40]


def test_popular_videos_keep_to_the_limits_of_the_list(settings: Settings) -> None:
    served = recaller(settings, user(1, BOTH), popular={None: [50, 20, 30, 40, 10]})
    once = served.recall(1, 3, arrangement=Arrangement(max_per_tag=1)).candidates
    assert [each.video_id for each in once] == [30, 40], "50 has the tags of both"
    assert [each.video_id for each in served.recall(1, 3).candidates] == [30, 40, 50]
    strangers = served.recall(9, 5, arrangement=Arrangement(max_per_tag=2)).candidates
    assert [each.video_id for each in strangers] == [50, 20, 30], "then both tags are there twice"


def test_videos_like_another_are_the_nearest_by_vector(settings: Settings) -> None:
    # 30 is (.9, .1): 10 .9, 50 .6, 40 .26, 20 .1.
    served = recaller(settings)
    found = served.similar(30, 3)
    assert [(each.video_id, each.interest) for each in found] == [(10, -1), (50, -1), (40, -1)]
    assert [each.score for each in found] == pytest.approx([0.9, 0.6, 0.26])
    assert len(served.similar(30, 9)) == 4
    with pytest.raises(UnknownVideoError, match="no video 77"):
        served.similar(77, 3)
