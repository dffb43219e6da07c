"""Ranked lists out of a bundle, offline: exact search over the catalogue, with the merge that serving runs.

``recall_batch`` and the evaluation use the same rankers, so what is judged is what is exported. A user
without a known history gets the bundle's popular order, interest -1. Users are ranked in blocks, so that
memory does not grow with their number.

Shape letters: B users, K interests, D dimensions, V videos, N places of a list, M hits per interest,
S videos seen by the users.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64

from features.bundle import (
    EXTRACTOR,
    NEIGHBOURS_KIND,
    RANKING_KIND,
    STORED_INTERESTS_KIND,
    Bundle,
    open_bundle,
)
from features.capacity import DEFAULT_CAPACITY, ActivationTable, Capacity, Pruner, count_positives
from features.errors import BadInputError
from features.history import HistoryBatch, pad_histories
from features.lake import Lake
from features.merge import NO_VIDEO, Merged
from features.schema import INTEREST, PAD_ROW, RANK, SCORE, SEGMENT, USER_ID, VIDEO_ID
from features.settings import Settings
from features.vocabulary import Vocabulary
from training.dataset import WatchLog
from training.interest_search import VectorCatalogue, search_interests
from training.neighbour_ranker import NeighbourRanker
from training.ranked import NO_INTEREST, Past, Ranked, Ranker, first_unseen, seen_places
from training.stored_ranker import StoredRanker

USERS_PER_BLOCK: Final = 512
RANKED_SCHEMA: Final = pa.schema(
    [
        pa.field(USER_ID, pa.int64()),
        pa.field(RANK, pa.int64()),
        pa.field(VIDEO_ID, pa.int64()),
        pa.field(SCORE, pa.float64()),
        pa.field(INTEREST, pa.int64()),
    ]
)

Extract = Callable[[HistoryBatch], tuple[Float32[np.ndarray, "B K D"], Float32[np.ndarray, "B K"]]]
"""Histories to interests and activation: the exported program, or the network while it is trained."""


class InterestRanker:
    """Searches each active interest of a user over all video vectors.

    Args:
        vocabulary: its order is the popular order.
        pruner: decides which interests are searched.
    """

    def __init__(
        self,
        extract: Extract,
        vocabulary: Vocabulary,
        vectors: Float32[np.ndarray, "V D"],
        *,
        history_length: int,
        pruner: Pruner,
    ) -> None:
        self._extract = extract
        self._vocabulary = vocabulary
        self._catalogue = VectorCatalogue(vocabulary.video_ids, vectors)
        self._length = history_length
        self._pruner = pruner

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        histories = past.histories.histories(user_ids)
        batch = pad_histories(histories, self._vocabulary, length=self._length, now=past.moment)
        interests, activation = self._extract(batch)
        known = (batch.video_rows != PAD_ROW).any(axis=1)
        num_positives = count_positives(batch.video_rows, batch.actions)
        kept = self._pruner.keep(user_ids, interests, activation, num_positives)
        searched = kept & known[:, None]
        return search_interests(
            interests, searched, seen_places(past.seen, user_ids, self._vocabulary), self._catalogue, top_n
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
        shape = (len(user_ids), top_n)
        ids, scores = np.full(shape, NO_VIDEO, dtype=np.int64), np.full(shape, -np.inf)
        segments = [past.segments.get(user) for user in user_ids.tolist()]
        segments = [segment if segment in self._orders else None for segment in segments]
        for segment in set(segments):
            members = np.flatnonzero([other == segment for other in segments])
            users, videos = seen_places(past.seen, user_ids[members], self._vocabulary)
            order = self._orders[segment]
            places = first_unseen(order, users, videos, num_users=len(members), top_n=top_n)
            left = places >= 0
            ids[members] = np.where(left, self._vocabulary.video_ids[order[places]], NO_VIDEO)
            scores[members] = np.where(left, self._scores[segment][places], -np.inf)
        return Ranked(Merged(ids, scores, np.full(shape, NO_INTEREST, dtype=np.int64)))


def open_ranker(bundle: Bundle, *, capacity: Capacity = DEFAULT_CAPACITY, num_threads: int = 1) -> Ranker:
    """The ranker of a bundle's kind; interests come from its exported program."""
    if bundle.manifest.kind == RANKING_KIND:
        return PopularityRanker(bundle.ranking)
    if bundle.manifest.kind == STORED_INTERESTS_KIND:
        return StoredRanker(bundle.user_interests, bundle.vocabulary, bundle.vectors)
    if bundle.manifest.kind == NEIGHBOURS_KIND:
        return NeighbourRanker(
            bundle.neighbours, bundle.vocabulary, plain_weight=bundle.manifest.config["plain_weight"]
        )
    return InterestRanker(
        exported_extractor(bundle.path / EXTRACTOR, num_threads=num_threads),
        bundle.vocabulary,
        bundle.vectors,
        history_length=bundle.manifest.history_length,
        pruner=Pruner.of(ActivationTable(bundle.activation, bundle.manifest.num_interests), capacity),
    )


def exported_extractor(program: Path, *, num_threads: int = 1) -> Extract:
    """The extractor of a bundle as a function, run by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])

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


def recall_batch(
    bundle_path: Path,
    users: Int64[np.ndarray, " B"],
    as_of: datetime,
    top_n: int,
    *,
    settings: Settings,
) -> pa.Table:
    """``user_id, rank, video_id, score, interest`` from the histories before ``as_of``.

    Every user gets min(top_n, videos of the bundle not seen yet) rows; interest is -1, and the score of
    an ``interests`` bundle 0, where the popular order filled the place.
    """
    bundle = open_bundle(bundle_path)
    past = Past.read(WatchLog(Lake(settings), as_of, bundle.manifest.rule), as_of)
    blocks = rank_in_blocks(open_ranker(bundle), past, np.asarray(users, dtype=np.int64), top_n)
    tables = [_rows(user_ids, ranked.lists) for user_ids, ranked in blocks]
    return pa.concat_tables(tables) if tables else RANKED_SCHEMA.empty_table()


def read_users(path: Path) -> Int64[np.ndarray, " B"]:
    """The ``user_id`` column of a Parquet file, in its order.

    Raises:
        BadInputError: it is no Parquet file with a column ``user_id`` of integers without nulls.
    """
    try:
        column = pq.read_table(path, columns=[USER_ID])[USER_ID].combine_chunks().cast(pa.int64())
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadInputError(
            f"{path} is no Parquet file with a column {USER_ID} of integers: {error}"
        ) from error
    if column.null_count:
        raise BadInputError(f"{path} holds {column.null_count} rows without {USER_ID}; leave them out")
    return column.to_numpy()


def _rows(user_ids: Int64[np.ndarray, " B"], lists: Merged) -> pa.Table:
    users, ranks = np.nonzero(lists.video_ids != NO_VIDEO)
    columns = [user_ids[users], ranks, lists.video_ids[users, ranks], lists.scores[users, ranks]]
    return pa.table([*columns, lists.interests[users, ranks]], schema=RANKED_SCHEMA)
