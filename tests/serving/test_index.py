"""One contract for every index: exact in memory, a Milvus Lite server, a real Milvus.

What only Milvus does is in ``test_milvus_index.py``.
"""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from features.bundle import item_table, open_bundle
from features.filters import VideoFilters
from features.live_items import VectorTable
from features.merge import NO_VIDEO
from features.schema import (
    CATEGORY,
    DURATION_SECONDS,
    LANGUAGE,
    PUBLISHED_AT,
    TAG_IDS,
    TIMESTAMP,
    UPLOADER_ID,
    VIDEO_ID,
)
from features.settings import Settings
from serving.index import CandidateIndex, ExactIndex
from tests.serving.bundles import FIRST, VIDEO_IDS, exact_index, write_interests
from tests.serving.milvus_indexes import Videos, milvus_index

COOKING_AND_FOOTBALL = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
NOTHING = np.empty(0, dtype=np.int64)
DRIVERS = [
    "exact",
    pytest.param("milvus_lite", marks=pytest.mark.server, id="lite"),
    pytest.param("milvus_standalone", marks=pytest.mark.server, id="real"),
]
TEXTS = [
    'd"e',
    "it's",
    "back\\slash\\",
    "line\nand\ttab",
    "日本語",
    "é 😀",
    "%like_",
    '"] or video_id > 0 or language in ["',
    "{x}",
]
EDGES = [0, 1, 2**53, 2**53 + 1, 2**63 - 2, 2**63 - 1]
"""Ids that a float, or 32 bits, cannot tell apart."""


def odd_videos() -> pa.Table:
    """A video per text from 100 on, whose language and category it is, and those of ``EDGES``."""
    ids = [*EDGES, *range(100, 100 + len(TEXTS))]
    texts: list[str | None] = [*[None] * len(EDGES), *TEXTS]
    return pa.table(
        {
            VIDEO_ID: ids,
            UPLOADER_ID: pa.nulls(len(ids), pa.int64()),
            TAG_IDS: pa.array([None, [], [2**63 - 1], *[None] * (len(ids) - 3)], pa.list_(pa.int64())),
            CATEGORY: pa.array(texts, pa.string()),
            DURATION_SECONDS: pa.nulls(len(ids), pa.float64()),
            PUBLISHED_AT: pa.nulls(len(ids), TIMESTAMP),
            LANGUAGE: pa.array(texts, pa.string()),
        }
    )


@pytest.fixture(scope="module", params=DRIVERS)
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, CandidateIndex]:
    """The five videos, and the odd ones; nobody writes into them."""
    odd = odd_videos()
    vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(odd), 1))
    items = item_table(odd[VIDEO_ID].to_numpy(), vectors, odd)
    if request.param == "exact":
        return {"five": exact_index(), "odd": ExactIndex(items)}
    bundle = open_bundle(write_interests(Settings(home=tmp_path_factory.mktemp("contract"))))
    server = request.getfixturevalue(request.param)
    manifest = bundle.manifest.model_copy(update={"version": "odd"})
    tables: dict[str, VectorTable] = {"five": bundle, "odd": Videos(manifest, items)}
    return {name: milvus_index(server, videos) for name, videos in tables.items()}


@pytest.fixture
def index(opened: dict[str, CandidateIndex]) -> CandidateIndex:
    return opened["five"]


@pytest.fixture
def odd_index(opened: dict[str, CandidateIndex]) -> CandidateIndex:
    return opened["odd"]


def found_by(index: CandidateIndex, filters: VideoFilters, *exclude: int) -> set[int]:
    """All that one search finds, whatever the order."""
    left_out = np.array(exclude, dtype=np.int64)
    hits = index.search(COOKING_AND_FOOTBALL[:1], 100, exclude=left_out, filters=filters)
    return {*hits.video_ids.ravel().tolist()} - {NO_VIDEO}


def test_one_ranking_per_query_best_first(index: CandidateIndex) -> None:
    # First coordinates: 10 -> 1.0, 30 -> .9, 50 -> .6; second: 20 -> 1.0, 40 -> .8, 50 -> .6.
    hits = index.search(COOKING_AND_FOOTBALL, 3, exclude=NOTHING)
    assert hits.video_ids.tolist() == [[10, 30, 50], [20, 40, 50]]


def test_scores_are_inner_products(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 2, exclude=NOTHING)
    assert hits.scores == pytest.approx(np.array([[1.0, 0.9], [1.0, 0.8]]), abs=1e-6)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [  # 10 has no category, 20 no duration, only 30 and 40 have a language
        (VideoFilters(categories=("any",)), {20, 30, 40, 50}),
        (VideoFilters(excluded_categories=("any",)), {10}),
        (VideoFilters(excluded_categories=("other",)), {10, 20, 30, 40, 50}),
        (VideoFilters(categories=()), set()),
        (VideoFilters(languages=("en", "")), {30}),
        (VideoFilters(languages=('d"e',)), {40}),
        (VideoFilters(min_duration_seconds=30), {30, 40, 50}),
        (VideoFilters(max_duration_seconds=30), {10, 30}),
        (VideoFilters(published_after=FIRST + timedelta(days=40)), {40, 50}),
        (VideoFilters(min_duration_seconds=10, max_duration_seconds=40, languages=("en",)), {30}),
    ],
)
def test_a_filter_lets_the_same_videos_through_everywhere(
    index: CandidateIndex, filters: VideoFilters, expected: set[int]
) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 5, exclude=NOTHING, filters=filters)
    assert {*hits.video_ids.ravel().tolist()} - {NO_VIDEO} == expected


def test_a_video_of_unknown_date_passes_no_date_however_early(opened: dict[str, CandidateIndex]) -> None:
    filters = VideoFilters(published_after=FIRST - timedelta(days=36_500))  # before 1970: a negative number
    found = {
        name: {*index.search(COOKING_AND_FOOTBALL, 5, exclude=NOTHING, filters=filters).video_ids.ravel()}
        for name, index in opened.items()
    }
    assert {name: ids - {NO_VIDEO} for name, ids in found.items()} == {"five": {*VIDEO_IDS}, "odd": set()}


def test_excluded_videos_make_room_for_the_next_best(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 2, exclude=np.array([10, 20, 77]))
    assert hits.video_ids.tolist() == [[30, 50], [40, 50]]


def test_asking_for_more_than_there_is_gives_all(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 50, exclude=np.array([50]))
    assert [sorted(row) for row in hits.video_ids.tolist()] == [[10, 20, 30, 40]] * 2


def test_everything_excluded_gives_nothing(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL, 3, exclude=VIDEO_IDS)
    assert hits.video_ids.shape == (2, 0)


def test_results_are_queries_by_hits_and_fit_the_merge(index: CandidateIndex) -> None:
    hits = index.search(COOKING_AND_FOOTBALL[:1], 3, exclude=NOTHING)
    assert (hits.video_ids.shape, hits.video_ids.dtype) == ((1, 3), np.int64)
    assert (hits.scores.shape, hits.scores.dtype) == ((1, 3), np.float32)


def test_a_living_index_passes_its_check(index: CandidateIndex) -> None:
    index.check()


@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_any_text_can_be_asked_for(odd_index: CandidateIndex, place: int) -> None:
    own, text = 100 + place, TEXTS[place]
    assert found_by(odd_index, VideoFilters(languages=(text,))) == {own}
    others = {*EDGES, *range(100, 100 + len(TEXTS))} - {own}
    assert found_by(odd_index, VideoFilters(excluded_categories=(text,))) == others


def test_ids_keep_every_bit(odd_index: CandidateIndex) -> None:
    texts = tuple(TEXTS)
    assert found_by(odd_index, VideoFilters(excluded_categories=texts)) == {*EDGES}
    for edge in EDGES:
        without = found_by(odd_index, VideoFilters(excluded_categories=texts), edge)
        assert without == {*EDGES} - {edge}


def test_as_many_videos_as_a_user_has_seen_can_be_left_out(index: CandidateIndex) -> None:
    seen = np.concatenate([np.arange(1_000_000, 1_004_000), [20, 30, 40]])
    hits = index.search(COOKING_AND_FOOTBALL, 5, exclude=seen)
    assert hits.video_ids.tolist() == [[10, 50], [50, 10]]


def test_nothing_left_gives_no_columns(index: CandidateIndex) -> None:
    assert index.search(COOKING_AND_FOOTBALL, 5, exclude=VIDEO_IDS).video_ids.shape == (2, 0)


def test_one_query_gives_one_row(index: CandidateIndex) -> None:
    assert index.search(COOKING_AND_FOOTBALL[:1], 2, exclude=NOTHING).video_ids.tolist() == [[10, 30]]
