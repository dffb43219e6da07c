"""Recall over several channels of the five videos of ``bundles.py``; every fused score is worked out by hand.

The user watched 20, then 10. By reciprocal rank, weight .6 on ``interests`` and .4 on ``cooc``:

===== ======================= =============== ==============================
video interests (rank)        cooc (rank)     fused
===== ======================= =============== ==============================
30    .9 under interest 0 (0)                 .6 / 60            = .01000
40    .8 under interest 1 (1) .4 (1)          .6 / 61 + .4 / 61  = .01639
50    .6 under interest 0 (2) .5 (0)          .6 / 62 + .4 / 60  = .01634
===== ======================= =============== ==============================
"""

from datetime import datetime

import pytest

from features.bundle import open_bundle
from features.merge_config import MergeConfig
from features.neighbours import Neighbours
from features.popular import PopularVideos
from features.release import Release
from features.settings import Settings
from features.user_features import UserFeatures
from serving.catalogue import Catalogue
from serving.channels import ANYTHING, Channel, Found, Scope
from serving.channels.multi_interest import MultiInterestChannel
from serving.channels.neighbours import NeighboursChannel
from serving.channels.popular import PopularChannel
from serving.channels.vector_search import VectorSearch
from serving.interests import InterestExtractor
from serving.recall import Recaller
from serving.result import LeftOut, Origin, Reason, RecallResult
from tests.serving.bundles import exact_index, write_interests, write_neighbours, write_ranking
from tests.serving.users import POSITIVE, Lost, timed, user

BOTH = user(1, [(20, POSITIVE), (10, POSITIVE)])
WEIGHTS = {"interests": 0.6, "cooc": 0.4}


class Silent:
    """A channel that knows nobody."""

    stage = "silent"

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        return None

    def check(self) -> None:
        return


def recaller(settings: Settings, weights: dict[str, float], **instead: Channel) -> Recaller:
    interests = open_bundle(write_interests(settings))
    cooc = open_bundle(write_neighbours(settings, {(10, 50): 0.5, (10, 40): 0.4}))
    ranking = open_bundle(write_ranking(settings, {None: [50, 30, 20]}))
    search = VectorSearch(exact_index(), interests)
    channels: dict[str, Channel] = {
        "interests": MultiInterestChannel(InterestExtractor(interests), search),
        "cooc": NeighboursChannel(Neighbours.of(cooc)),
        "popular": PopularChannel(PopularVideos.of_ranking(ranking)),
    }
    moment = datetime(2026, 1, 22)  # noqa: DTZ001 - as the registry stores it
    release = Release("r1", "live", {}, {}, moment, 1, MergeConfig(weights=weights))
    return Recaller(
        release,
        users=timed(BOTH),
        channels={name: instead.get(name, channels[name]) for name in weights},
        popular=PopularVideos.of_channels({"interests": interests, "popular": ranking}),
        catalogue=Catalogue(interests),
    )


def videos(result: RecallResult) -> list[int]:
    return [candidate.video_id for candidate in result.candidates]


def test_lists_are_fused_and_every_candidate_names_who_found_it(settings: Settings) -> None:
    result = recaller(settings, WEIGHTS).recall(1, 3)
    assert videos(result) == [40, 50, 30]
    assert [c.score for c in result.candidates] == pytest.approx(
        [0.6 / 61 + 0.4 / 61, 0.6 / 62 + 0.4 / 60, 0.6 / 60]
    )
    forty, fifty, thirty = result.candidates
    assert forty.channels == (Origin("interests", 1, (1, 0)), Origin("cooc", 1, ()))
    assert fifty.channels == (Origin("interests", 2, (0, 1)), Origin("cooc", 0, ()))
    assert thirty.channels == (Origin("interests", 0, (0, 1)),)
    assert [(c.interest, c.also_found_by) for c in result.candidates] == [(1, (0,)), (0, (1,)), (0, (1,))]
    assert (result.reason, result.strategy, result.left_out) == (None, "interests", {})


def test_other_weights_give_another_order(settings: Settings) -> None:
    assert videos(recaller(settings, {"interests": 0.1, "cooc": 0.9}).recall(1, 3)) == [50, 40, 30]


def test_explain_counts_what_stands_under_each_interest(settings: Settings) -> None:
    reports = recaller(settings, WEIGHTS).recall(1, 3, explain=True).interests
    assert [(r.channel, r.interest, r.num_found, r.num_kept) for r in reports] == [
        ("interests", 0, 3, 2),
        ("interests", 1, 3, 1),
    ]


def test_the_share_of_a_lost_channel_goes_to_the_others(settings: Settings) -> None:
    result = recaller(settings, WEIGHTS, interests=Lost()).recall(1, 2)
    assert videos(result) == [50, 40]
    assert (result.reason, result.left_out) == (Reason.CHANNEL_LEFT_OUT, {"interests": LeftOut.FAILED})
    assert result.strategy == "interests"
    assert [c.interest for c in result.candidates] == [-1, -1]


def test_a_lost_channel_and_a_short_list_is_filled(settings: Settings) -> None:
    result = recaller(settings, WEIGHTS, interests=Lost()).recall(1, 3)
    assert videos(result) == [50, 40, 30]
    assert result.candidates[2].channels == (Origin("popular", 0, ()),)
    assert result.reason is Reason.CHANNEL_LEFT_OUT


def test_when_nobody_is_left_who_knows_the_user_popular_videos_answer(settings: Settings) -> None:
    both_lost = recaller(settings, WEIGHTS, interests=Lost(), cooc=Lost()).recall(1, 2)
    assert (videos(both_lost), both_lost.reason) == ([50, 30], Reason.INDEX_UNAVAILABLE)
    assert both_lost.left_out == {"interests": LeftOut.FAILED, "cooc": LeftOut.FAILED}
    # Popular videos know nobody, whatever their weight.
    home = Settings(home=settings.root / "other")
    lost = recaller(home, {"interests": 1.0, "popular": 1.0}, interests=Lost()).recall(1, 2)
    assert (videos(lost), lost.reason) == ([50, 30], Reason.INDEX_UNAVAILABLE)


def test_who_knows_nothing_keeps_its_weight_and_is_not_left_out(settings: Settings) -> None:
    result = recaller(settings, WEIGHTS, cooc=Silent()).recall(1, 2)
    assert (result.left_out, result.reason) == ({}, None)
    assert [origin.channel for c in result.candidates for origin in c.channels] == ["interests", "interests"]
    # Fused as for everybody else, not the inner products that a release of one channel would give.
    assert [c.score for c in result.candidates] == pytest.approx([0.6 / 60, 0.6 / 61])


def test_popular_is_a_channel_among_others_where_it_has_a_weight(settings: Settings) -> None:
    # Popular: 50, 30 (10 and 20 are seen). 30: .1 / 60 + .9 / 61; 50: .1 / 62 + .9 / 60.
    result = recaller(settings, {"interests": 0.1, "popular": 0.9}).recall(1, 2)
    assert videos(result) == [50, 30]
    assert result.candidates[0].channels == (Origin("interests", 2, (0, 1)), Origin("popular", 0, ()))
