"""How good a bundle's lists are: the metrics of the gate and of every report.

Targets of a user are the distinct positives in [start, end) that the user had not watched before
``start`` and that are in the snapshot of the videos. Averages go over the users with at least one target,
users without history included. Lists never contain what was watched before ``start``.

==================  ==================================================================================
metric              meaning
==================  ==================================================================================
recall_at_k         targets among the first k / targets
ndcg_at_k           sum of 1 / log2(rank + 2) over hits (rank from 0) / the same of min(targets, k) hits
                    at the top (Jarvelin and Kekalainen, TOIS 2002)
coverage            share of the snapshot's videos that are in the first 50 of any user
tag_diversity       distinct tags among the first 50
mean_cosine         cosine between two interests of a user with history; ``None`` below two interests
searches            interests searched per user with history (the others are pruned)
share_won_k         share of the targets found in the first 200 that interest k found
==================  ==================================================================================

Shape letters: B users, N places of a list, K interests, D dimensions.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from features.bundle import open_bundle
from features.lake import Lake
from features.merge import NO_VIDEO
from features.schema import TAG_IDS, VIDEO_ID
from features.settings import Settings
from training.dataset import IdLists, WatchLog
from training.ranking import Past, Ranked, Ranker, open_ranker, rank_in_blocks

CUTOFFS: Final = (20, 50, 100, 200)
MAIN_CUTOFF: Final = 50
MAIN_METRIC: Final = f"recall_at_{MAIN_CUTOFF}"

Metrics = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Metrics over all users, and the main one of each user."""

    metrics: Metrics
    user_ids: Int64[np.ndarray, " B"]
    main: Float[np.ndarray, " B"]
    """``recall_at_50`` of each user."""


def evaluate(bundle_path: Path, start: datetime, end: datetime, *, settings: Settings) -> Metrics:
    """Metrics of a bundle on the targets in [start, end), from the histories before ``start``."""
    return judge_bundle(bundle_path, start, end, settings=settings).metrics


def judge_bundle(bundle_path: Path, start: datetime, end: datetime, *, settings: Settings) -> Judgement:
    """As ``evaluate``, with the figures of single users."""
    bundle = open_bundle(bundle_path)
    log = WatchLog(Lake(settings), end, bundle.manifest.rule)
    past = Past.read(log, start)
    return judge(open_ranker(bundle), past, log.targets(start, end), Catalogue.read(log))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What coverage and diversity need to know of the videos."""

    num_videos: int
    tags: IdLists

    @classmethod
    def read(cls, log: WatchLog) -> "Catalogue":
        """The newest snapshot of the videos."""
        videos = log.videos()
        return cls(len(videos), IdLists.from_columns(videos[VIDEO_ID], videos[TAG_IDS]))


def judge(ranker: Ranker, past: Past, targets: IdLists, catalogue: Catalogue) -> Judgement:
    """Rank every user that has targets, in blocks, and average.

    Args:
        targets: see the head of this file.
    """
    tally = _Tally(targets, catalogue)
    for user_ids, ranked in rank_in_blocks(ranker, past, targets.keys, max(CUTOFFS)):
        tally.add(user_ids, ranked)
    return tally.judgement()


def hits_of(
    lists: Int64[np.ndarray, "B N"], users: Int64[np.ndarray, " T"], targets: Int64[np.ndarray, " T"]
) -> Bool[np.ndarray, "B N"]:
    """Which places of the lists hold a target of their user.

    Args:
        users: row of ``lists`` that each target belongs to.
    """
    span = max(int(lists.max(initial=0)), int(targets.max(initial=0))) + 2
    keys = np.arange(len(lists))[:, None] * span + lists + 1  # NO_VIDEO becomes 0, which no target is
    return np.isin(keys, users * span + targets + 1)


def recall_at(
    hits: Bool[np.ndarray, "B N"], num_targets: Int64[np.ndarray, " B"], cutoff: int
) -> Float[np.ndarray, " B"]:
    """Hits among the first ``cutoff`` / targets, per user."""
    return hits[:, :cutoff].sum(axis=1) / num_targets


def ndcg_at(
    hits: Bool[np.ndarray, "B N"], num_targets: Int64[np.ndarray, " B"], cutoff: int
) -> Float[np.ndarray, " B"]:
    """Discounted hits among the first ``cutoff`` / those of the ideal list, per user."""
    gains = 1 / np.log2(np.arange(cutoff) + 2)
    ideal = gains.cumsum()[np.minimum(num_targets, cutoff) - 1]
    return hits[:, :cutoff] @ gains[: hits.shape[1]] / ideal


def mean_pairwise_cosine(interests: Float32[np.ndarray, "B K D"]) -> Float[np.ndarray, " B"]:
    """Cosine between two different interests, averaged over the pairs of each user; K is at least 2."""
    unit = interests / np.maximum(np.linalg.norm(interests, axis=2, keepdims=True), 1e-12)
    cosines = unit @ unit.transpose(0, 2, 1)  # (B, K, K)
    num_interests = interests.shape[1]
    off_diagonal = cosines.sum(axis=(1, 2)) - np.trace(cosines, axis1=1, axis2=2)
    return off_diagonal / (num_interests * (num_interests - 1))


class _Tally:
    """Adds up blocks of users; its memory does not grow with the length of the lists."""

    def __init__(self, targets: IdLists, catalogue: Catalogue) -> None:
        self._targets = targets
        self._catalogue = catalogue
        self._per_user: dict[str, list[np.ndarray]] = {}
        self._shown: set[int] = set()
        self._num_won: np.ndarray | None = None

    def add(self, user_ids: Int64[np.ndarray, " B"], ranked: Ranked) -> None:
        """Count one block."""
        users, videos = self._targets.pairs(user_ids)
        num_targets = np.bincount(users, minlength=len(user_ids))
        hits = hits_of(ranked.lists.video_ids, users, videos)
        for cutoff in CUTOFFS:
            self._keep(f"recall_at_{cutoff}", recall_at(hits, num_targets, cutoff))
            self._keep(f"ndcg_at_{cutoff}", ndcg_at(hits, num_targets, cutoff))
        top = ranked.lists.video_ids[:, :MAIN_CUTOFF]
        self._shown.update(np.unique(top[top != NO_VIDEO]).tolist())
        self._keep("tag_diversity", self._distinct_tags(top))
        if ranked.interests is not None and ranked.searched is not None:
            self._add_interests(ranked.interests, ranked.searched, ranked.lists.interests[hits])

    def judgement(self) -> Judgement:
        """The averages."""
        columns = {name: np.concatenate(parts) for name, parts in self._per_user.items()}
        metrics: Metrics = {name: _mean(values) for name, values in columns.items()}
        metrics.setdefault("mean_cosine", None)
        metrics["coverage"] = len(self._shown) / self._catalogue.num_videos
        metrics["num_users"] = float(len(self._targets.keys))
        metrics["num_targets"] = float(len(self._targets.ids))
        won = self._num_won if self._num_won is not None else np.empty(0)
        metrics |= {f"share_won_{k}": float(n / max(won.sum(), 1)) for k, n in enumerate(won)}
        return Judgement(metrics, self._targets.keys, columns.get(MAIN_METRIC, np.empty(0)))

    def _keep(self, name: str, values: np.ndarray) -> None:
        self._per_user.setdefault(name, []).append(values)

    def _distinct_tags(self, top: Int64[np.ndarray, "B N"]) -> Int64[np.ndarray, " B"]:
        places, tags = self._catalogue.tags.pairs(top.ravel())
        pairs = np.unique(np.stack([places // top.shape[1], tags]), axis=1)
        return np.bincount(pairs[0], minlength=len(top))

    def _add_interests(
        self,
        interests: Float32[np.ndarray, "B K D"],
        searched: Bool[np.ndarray, "B K"],
        winners: Int64[np.ndarray, " H"],
    ) -> None:
        known = searched.any(axis=1)
        self._keep("searches", searched[known].sum(axis=1))
        if interests.shape[1] > 1:
            self._keep("mean_cosine", mean_pairwise_cosine(interests[known]))
        won = np.bincount(winners[winners >= 0], minlength=interests.shape[1])
        self._num_won = won if self._num_won is None else self._num_won + won


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
