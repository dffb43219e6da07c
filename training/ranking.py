"""Ranked lists out of a bundle, offline: exact search over the catalogue, with the merge that serving runs.

``training/recall_batch.py`` and the evaluation use the same rankers, so what is judged is what is exported. A
user without a known history gets the bundle's popular order, interest -1. Users are ranked in blocks, so that
memory does not grow with their number.

Shape letters: B users, K interests, D dimensions, V videos, N places of a list, M hits per interest,
S videos seen by the users.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from features.bundle import (
    EXTRACTOR,
    NEIGHBOURS_KIND,
    RANKING_KIND,
    STORED_INTERESTS_KIND,
    UPLOADS_KIND,
    Bundle,
)
from features.capacity import DEFAULT_CAPACITY, ActivationTable, Capacity, Pruner, count_positives
from features.history import HistoryBatch, pad_histories
from features.live_items import LiveItems
from features.merge import NO_VIDEO, Merged
from features.neighbours import Neighbours
from features.profile import ProfileVocabulary, profile_of
from features.programs import open_program
from features.schema import SCORE, SEGMENT, VIDEO_ID
from features.uploads import Uploads
from features.vocabulary import Vocabulary
from training.interest_search import VectorCatalogue, search_interests
from training.neighbour_ranker import NeighbourRanker
from training.ranked import (
    NO_INTEREST,
    BundleRanker,
    Past,
    Ranked,
    Ranker,
    filled,
    first_unseen,
    seen_places,
)
from training.stored_ranker import StoredRanker
from training.uploads_ranker import UploadsRanker

USERS_PER_BLOCK: Final = 512
Extract = Callable[[HistoryBatch], tuple[Float32[np.ndarray, "B K D"], Float32[np.ndarray, "B K"]]]
"""Histories to interests and activation: the exported program, or the network while it is trained."""


class InterestRanker:
    """Searches each active interest of a user over all video vectors.

    Args:
        vocabulary: rows of watched videos in the extractor's tables.
        pruner: decides which interests are searched.
        profile: what the extractor reads of users besides.
        min_share: see ``MergeConfig``.
        searched: the videos of ``vectors``, in popular order; those of the vocabulary if ``None``.
    """

    def __init__(
        self,
        extract: Extract,
        vocabulary: Vocabulary,
        vectors: Float32[np.ndarray, "V D"],
        *,
        history_length: int,
        pruner: Pruner,
        profile: ProfileVocabulary | None = None,
        min_share: float | None = None,
        searched: Vocabulary | None = None,
    ) -> None:
        self._extract = extract
        self._vocabulary = vocabulary
        self._searched = searched or vocabulary
        self._catalogue = VectorCatalogue(self._searched.video_ids, vectors)
        self._length = history_length
        self._pruner = pruner
        self._profile = profile
        self._min_share = min_share

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        seen = seen_places(past.seen, user_ids, self._searched)
        return filled(self._search(past, user_ids, seen, top_n), self._searched.video_ids, seen, top_n)

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """See ``Finder``."""
        seen = seen_places(past.seen, user_ids, self._searched)
        return self._search(past, user_ids, seen, limit).lists

    def _search(
        self,
        past: Past,
        user_ids: Int64[np.ndarray, " B"],
        seen: tuple[Int64[np.ndarray, " S"], Int64[np.ndarray, " S"]],
        top_n: int,
    ) -> Ranked:
        histories = past.histories.histories(user_ids)
        batch = pad_histories(histories, self._vocabulary, length=self._length, now=past.moment)
        if self._profile is not None:
            batch = replace(batch, profile=self._profile.rows_of(past.profiles.tokens_of(user_ids)))
        interests, activation = self._extract(batch)
        num_positives = count_positives(batch.video_rows, batch.actions)
        kept = self._pruner.keep(user_ids, interests, activation, num_positives)
        return search_interests(
            interests,
            kept & batch.is_known()[:, None],
            seen,
            self._catalogue,
            top_n,
            weights=activation,
            min_share=self._min_share,
        )


class PopularityRanker:
    """Gives each user the list of their segment, then the list of all users, without what was seen."""

    def __init__(self, ranking: pa.Table) -> None:
        segments = np.array(ranking[SEGMENT].to_pylist(), dtype=object)
        ids, scores = ranking[VIDEO_ID].to_numpy(), ranking[SCORE].to_numpy()
        of_all = ranking[SEGMENT].is_null().to_numpy()
        self._vocabulary = Vocabulary(ids[of_all])
        self._orders: dict[str | None, np.ndarray] = {None: np.arange(of_all.sum())}
        self._scores: dict[str | None, np.ndarray] = {None: scores[of_all]}
        for segment in sorted(set(segments[~of_all])):
            own = self._vocabulary.rows_of(ids[segments == segment]) - 1
            rest = np.setdiff1d(self._orders[None], own)  # ascending, so still in popular order
            self._orders[segment] = np.concatenate([own, rest])
            self._scores[segment] = np.concatenate([scores[segments == segment], np.zeros(len(rest))])

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        return Ranked(self.find(past, user_ids, top_n))

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """See ``Finder``; of everybody it is known that they are one of all."""
        shape = (len(user_ids), limit)
        ids, scores = np.full(shape, NO_VIDEO, dtype=np.int64), np.full(shape, -np.inf)
        segments = [past.segments.get(user) for user in user_ids.tolist()]
        segments = [segment if segment in self._orders else None for segment in segments]
        for segment in set(segments):
            members = np.flatnonzero([other == segment for other in segments])
            users, videos = seen_places(past.seen, user_ids[members], self._vocabulary)
            order = self._orders[segment]
            places = first_unseen(order, users, videos, num_users=len(members), top_n=limit)
            left = places >= 0
            ids[members] = np.where(left, self._vocabulary.video_ids[order[places]], NO_VIDEO)
            scores[members] = np.where(left, self._scores[segment][places], -np.inf)
        return Merged(ids, scores, np.full(shape, NO_INTEREST, dtype=np.int64))


def open_ranker(
    bundle: Bundle,
    *,
    capacity: Capacity = DEFAULT_CAPACITY,
    num_threads: int = 1,
    min_share: float | None = None,
    live: LiveItems | None = None,
) -> BundleRanker:
    """The ranker of a bundle's kind; interests come from its exported program.

    Args:
        min_share: of an interest in the list of its bundle, see ``MergeConfig``.
        live: videos of today in place of those that the bundle was trained with.
    """
    items = bundle if live is None else live.indexed
    if bundle.manifest.kind == RANKING_KIND:
        return PopularityRanker(bundle.ranking)
    if bundle.manifest.kind == STORED_INTERESTS_KIND:
        searched = Vocabulary(items.video_ids)
        return StoredRanker(bundle.user_interests, searched, items.vectors, min_share=min_share)
    if bundle.manifest.kind == NEIGHBOURS_KIND:
        return NeighbourRanker(Neighbours.of(bundle))
    if bundle.manifest.kind == UPLOADS_KIND:
        return UploadsRanker(Uploads.of(bundle))
    return InterestRanker(
        exported_extractor(bundle.path / EXTRACTOR, num_threads=num_threads),
        bundle.vocabulary if live is None else live.history_vocabulary,
        items.vectors,
        history_length=bundle.manifest.history_length,
        pruner=Pruner.of(ActivationTable(bundle.activation, bundle.manifest.num_interests), capacity),
        profile=profile_of(bundle),
        min_share=min_share,
        searched=Vocabulary(items.video_ids),
    )


def exported_extractor(program: Path, *, num_threads: int = 1) -> Extract:
    """The extractor of a bundle as a function, run by ONNX Runtime."""
    session = open_program(program, num_threads=num_threads)

    def extract(batch: HistoryBatch) -> tuple[np.ndarray, np.ndarray]:
        interests, activation = session.run(["interests", "activation"], batch.feed())
        return interests, activation

    return extract


def rank_in_blocks(
    ranker: Ranker, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int
) -> Iterator[tuple[Int64[np.ndarray, " b"], Ranked]]:
    """``(user_ids, lists)`` of one block of users after the other."""
    for start in range(0, len(user_ids), USERS_PER_BLOCK):
        block = user_ids[start : start + USERS_PER_BLOCK]
        yield block, ranker.rank(past, block, top_n)
