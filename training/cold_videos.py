"""How well videos are found that nobody has watched yet: a part of the videos is kept from training.

The chosen videos lose all their watches; a copy of the lake without them is what models are trained on. Then
all videos of the snapshot are ranked together, for the histories of that copy, and the targets that are cold
are counted apart from the others. What a user had watched stays out of lists and targets alike, cold or not.

Methods that know nothing of a video but its id cannot rank a cold one. The references here are what could be
done without training on side features: see ``popular_kin``, ``liked_tags`` and ``mean_of_kin``.

Shape letters: V videos of the snapshot, W of them watched, C cold videos, T tags, B users, D dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse
from jaxtyping import Float, Float32, Int64

from features.bundle import EXTRACTOR, Bundle
from features.capacity import ActivationTable, Pruner
from features.item_encoder import encode_videos
from features.lake import Lake
from features.merge import NO_VIDEO, Merged
from features.positives import Action, PositiveRule
from features.schema import TAG_IDS, UPLOADER_ID, USERS, VIDEO_ID, VIDEOS, WATCHES
from features.settings import Settings
from features.top import NO_PLACE, best_of
from features.vocabulary import Vocabulary
from training.catalogue import Catalogue
from training.dataset import IdLists, WatchLog
from training.evaluation import Half, Judgement, in_half, judge, part_of
from training.ranked import NO_INTEREST, Past, Ranked, Ranker, seen_places
from training.ranking import InterestRanker, exported_extractor

Scores = Callable[[Past, np.ndarray], Float[np.ndarray, "B V"]]


def choose_cold(video_ids: Int64[np.ndarray, " V"], share: float, seed: int) -> Int64[np.ndarray, " C"]:
    """A random ``share`` of the videos, ascending; the same for the same videos and seed."""
    random = np.random.default_rng(seed)
    return np.sort(random.choice(np.sort(video_ids), size=round(share * len(video_ids)), replace=False))


def copy_without(source: Settings, target: Settings, cold_ids: Int64[np.ndarray, " C"]) -> None:
    """Write the lake of ``source`` to that of ``target``, without the watches of ``cold_ids``."""
    read, write = Lake(source), Lake(target)
    for table in (VIDEOS, USERS, WATCHES):
        for day in read.day_counts(table):
            rows = read.read_days(table, [day])
            if table == WATCHES:
                rows = rows.filter(pc.invert(pc.is_in(rows[VIDEO_ID], pa.array(cold_ids))))
            write.write_day(table, day, rows)


@dataclass(frozen=True, slots=True)
class ColdTask:
    """What rankers are judged on: the past without the cold videos, the targets with them."""

    past: Past
    videos: pa.Table
    catalogue: Catalogue
    cold: IdLists
    """Targets of users that have a cold one, those alone."""
    warm: IdLists
    """The other targets."""

    @classmethod
    def read(
        cls,
        whole: Settings,
        kept: Settings,
        cold_ids: Int64[np.ndarray, " C"],
        days: tuple[datetime, datetime],
        *,
        rule: PositiveRule,
        half: Half = "all",
    ) -> "ColdTask":
        """The task of ``days``, on one half of the users.

        Args:
            whole: home of the whole log.
            kept: home of the log without the watches of ``cold_ids``.
        """
        log = WatchLog(Lake(whole), days[1], rule)
        past = Past.read(log, days[0])
        histories = Past.read(WatchLog(Lake(kept), days[0], rule), days[0]).histories
        targets = log.targets(*days)
        targets = part_of(targets, targets.keys[in_half(targets.keys, half)])
        is_cold = np.isin(targets.ids, cold_ids)
        return cls(
            replace(past, histories=histories),
            log.videos(),
            Catalogue.read(log),
            cold=_only(targets, is_cold),
            warm=_only(targets, ~is_cold),
        )

    def judge(self, ranker: Ranker) -> tuple[Judgement, Judgement]:
        """Figures on the cold targets, and on the others, of lists of all videos."""
        cold, warm = (judge(ranker, self.past, part, self.catalogue) for part in (self.cold, self.warm))
        return cold, warm


def encoder_ranker(bundle: Bundle, videos: pa.Table, *, boost: float = 1.0) -> InterestRanker:
    """Ranks all curated ``videos`` by a bundle: stored vectors, and those that its item encoder gives.

    Args:
        boost: factor on the vectors that the encoder gives: above 1, cold videos are found at the cost of
            others. Methods are compared at equal cost, not at equal boost.
    """
    return _ranker(bundle, videos, lambda unknown: boost * encode_videos(bundle, unknown))


def mean_of_kin(bundle: Bundle, videos: pa.Table, *, boost: float = 1.0) -> InterestRanker:
    """As ``encoder_ranker``, a cold video being the mean of its uploader's vectors, else of its tags'.

    The best that can be made of a bundle without side features: its videos sit where their kin sits. The
    means are the shorter the more the kin differs, and score what the kin scores on average.

    Args:
        boost: factor on the means.
    """
    known = bundle.vocabulary.rows_of(videos[VIDEO_ID].to_numpy()) - 1  # -1: not known
    vectors = np.where((known >= 0)[:, None], bundle.vectors[known], 0.0)

    def of_kin(unknown: pa.Table) -> Float32[np.ndarray, "C D"]:
        places = np.searchsorted(videos[VIDEO_ID].to_numpy(), unknown[VIDEO_ID].to_numpy())
        return boost * mean_over_kin(vectors, known >= 0, videos)[places].astype(np.float32)

    return _ranker(bundle, videos, of_kin)


@dataclass(frozen=True, slots=True)
class ScoreRanker:
    """Ranks the videos of a snapshot by scores that a function gives."""

    vocabulary: Vocabulary
    scores: Scores

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        scores = self.scores(past, user_ids)
        scores[seen_places(past.seen, user_ids, self.vocabulary)] = -np.inf
        places, found = best_of(scores, top_n)
        ids = np.where(places == NO_PLACE, NO_VIDEO, self.vocabulary.video_ids[places])
        return Ranked(Merged(ids, found, np.full(ids.shape, NO_INTEREST, dtype=np.int64)))


def popular_kin(counts: Float[np.ndarray, " V"], videos: pa.Table) -> ScoreRanker:
    """By positives, a cold video having the mean of its uploader's others, else of its tags'.

    Args:
        counts: positives of each video of the snapshot; 0 for those that nobody watched.
    """
    expected = expected_counts(counts, videos)
    return ScoreRanker(
        Vocabulary(videos[VIDEO_ID].to_numpy()), lambda _, users: np.tile(expected, (len(users), 1))
    )


def liked_tags(counts: Float[np.ndarray, " V"], videos: pa.Table, *, power: float = 1.0) -> ScoreRanker:
    """By the share of a video's tags in the positives of the history, times what is expected of the video.

    Args:
        power: of the expected number of positives.
    """
    vocabulary = Vocabulary(videos[VIDEO_ID].to_numpy())
    tags = _tag_shares(videos)
    popularity = (expected_counts(counts, videos) / max(counts.max(), 1)) ** power

    def scores(past: Past, user_ids: np.ndarray) -> Float[np.ndarray, "B V"]:
        histories = past.histories
        users, ids = IdLists(histories.user_ids, histories.offsets, histories.video_ids).pairs(user_ids)
        _, actions = IdLists(histories.user_ids, histories.offsets, histories.actions).pairs(user_ids)
        rows = vocabulary.rows_of(ids)
        counted = (actions & Action.POSITIVE.value > 0) & (rows > 0)
        pairs = (users[counted], rows[counted] - 1)
        shape = (len(user_ids), len(vocabulary))
        liked = scipy.sparse.csr_array((np.ones(len(pairs[0])), pairs), shape) @ tags  # (B, T)
        shares = np.asarray((liked @ tags.T).todense()) / np.maximum(liked.sum(axis=1), 1)[:, None]
        # Without a known tag, or a history, popularity alone decides.
        return (shares + 1e-3) * popularity

    return ScoreRanker(vocabulary, scores)


def expected_counts(counts: Float[np.ndarray, " V"], videos: pa.Table) -> Float[np.ndarray, " V"]:
    """``counts``, where they are 0 the mean of the same uploader's, else of the same tags'."""
    return np.where(counts > 0, counts, mean_over_kin(counts[:, None], counts > 0, videos)[:, 0])


def mean_over_kin(
    values: Float[np.ndarray, "V D"], is_known: np.ndarray, videos: pa.Table
) -> Float[np.ndarray, "V D"]:
    """Per video the mean value of the known videos of its uploader, else of those with its tags, else 0."""
    _, uploaders = np.unique(videos[UPLOADER_ID].to_numpy(), return_inverse=True)
    size = (len(uploaders), int(uploaders.max(initial=0)) + 1)
    by_uploader = scipy.sparse.csr_array((np.ones(size[0]), (np.arange(size[0]), uploaders)), size)
    own, has_own = _group_means(values, is_known, by_uploader)
    of_tags, _ = _group_means(values, is_known, _tag_shares(videos))
    return np.where(has_own[:, None], own, of_tags)


def _group_means(
    values: Float[np.ndarray, "V D"], is_known: np.ndarray, groups: scipy.sparse.csr_array
) -> tuple[Float[np.ndarray, "V D"], np.ndarray]:
    """Of each video the mean over its groups of the mean of their known videos, and whether there is any."""
    weights = groups.T @ is_known.astype(float)
    means = (groups.T @ (values * is_known[:, None])) / np.maximum(weights, 1e-9)[:, None]
    share = groups @ (weights > 0).astype(float)
    return (groups @ means) / np.maximum(share, 1e-9)[:, None], share > 0


def _tag_shares(videos: pa.Table) -> scipy.sparse.csr_array:
    """(V, T): a video's tags share 1."""
    lists = videos[TAG_IDS].combine_chunks()
    owners = pc.list_parent_indices(lists).to_numpy()
    _, tags = np.unique(lists.flatten().to_numpy(), return_inverse=True)
    weights = 1 / np.bincount(owners, minlength=len(lists))[owners]
    return scipy.sparse.csr_array((weights, (owners, tags)), (len(lists), int(tags.max(initial=-1)) + 1))


def _ranker(
    bundle: Bundle, videos: pa.Table, encode: Callable[[pa.Table], Float32[np.ndarray, "C D"]]
) -> InterestRanker:
    unknown = videos.filter(bundle.vocabulary.rows_of(videos[VIDEO_ID].to_numpy()) == 0)
    # Known videos keep their rows, so that histories of known videos mean the same to the extractor.
    ids = np.concatenate([bundle.video_ids, unknown[VIDEO_ID].to_numpy()])
    return InterestRanker(
        exported_extractor(bundle.path / EXTRACTOR),
        Vocabulary(ids),
        np.concatenate([bundle.vectors, encode(unknown)]),
        history_length=bundle.manifest.history_length,
        pruner=Pruner.of(ActivationTable(bundle.activation, bundle.manifest.num_interests)),
    )


def _only(lists: IdLists, wanted: np.ndarray) -> IdLists:
    """The wanted entries, of the keys that have any."""
    keys = np.repeat(lists.keys, np.diff(lists.offsets))[wanted]
    kept, sizes = np.unique(keys, return_counts=True)
    return IdLists(kept, np.concatenate([[0], sizes.cumsum()]), lists.ids[wanted])
