"""How good a bundle's lists are: the figures of the gate, of the leaderboard and of every report.

Targets of a user are the distinct positives in [start, end) that the user had not watched before
``start`` and that are in the snapshot of the videos. Averages go over the users with at least one target,
users without history included. Lists never contain what was watched before ``start``.

===================  =================================================================================
metric               meaning
===================  =================================================================================
recall_at_k          targets among the first k / targets; k = 20, 50, 100, 200
ndcg_at_k            the same, hits discounted by rank
tag_diversity        distinct tags among the first 50
uploader_diversity   distinct uploaders among the first 50
coverage             share of the snapshot's videos that are in the first 50 of any user
gini                 inequality of the number of users that see each video among their first 50
searches             interests searched per user with history (the others are pruned)
mean_cosine          cosine between two interests of a user with history; ``None`` below two interests
list_overlap         Jaccard index of the first 50 of two searched interests, before the merge
effective_interests  exp of the entropy of the interests' shares of a merged first 50
share_won_k          share of the targets found in the first 200 that interest k found
===================  =================================================================================

docs/evaluation.md has the formulas. Shape letters: B users, N places of a list, K interests.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

from features.bundle import open_bundle
from features.capacity import DEFAULT_CAPACITY, Capacity
from features.lake import Lake
from features.merge_config import NO_CAP, ImpressionCap
from features.positives import PositiveRule
from features.settings import Settings
from training.catalogue import Catalogue
from training.dataset import IdLists, WatchLog
from training.groups import Grouping, group_users
from training.metrics import (
    CUTOFFS,
    MAIN_CUTOFF,
    MAIN_METRIC,
    Metrics,
    effective_interests,
    gini,
    hits_of,
    mean_pairwise_cosine,
    mean_pairwise_jaccard,
    ndcg_at,
    num_distinct,
    pairwise_cosines,
    recall_at,
)
from training.ranked import Past, Ranked, Ranker
from training.ranking import open_ranker, rank_in_blocks

Half = Literal["tune", "report", "all"]
"""Settings are chosen on the users of ``tune`` and reported on the others, so that luck does not count."""
OF_INTERESTS: Final = ("mean_cosine", "searches", "list_overlap", "effective_interests")
"""Metrics that bundles without interests do not have."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Metrics over all users, by group of users, and of each user."""

    metrics: Metrics
    user_ids: Int64[np.ndarray, " B"]
    main: Float[np.ndarray, " B"]
    """``recall_at_50`` of each user."""
    per_user: dict[str, Float[np.ndarray, " B"]] = field(default_factory=dict)
    """Every metric that single users have, by name; NaN for users that it says nothing of."""
    groups: dict[str, dict[str, Metrics]] = field(default_factory=dict)
    """Grouping to group to the means of ``per_user``, ``num_users`` and ``num_targets``; empty groups too."""
    cosines: Float[np.ndarray, "K K"] | None = None
    """Cosine between every two interests, mean over users with a known history; ``None`` without any."""


def evaluate(bundle_path: Path, start: datetime, end: datetime, *, settings: Settings) -> Metrics:
    """Metrics of a bundle on the targets in [start, end), from the histories before ``start``."""
    return judge_bundle(bundle_path, start, end, settings=settings).metrics


def judge_bundle(
    bundle_path: Path,
    start: datetime,
    end: datetime,
    *,
    settings: Settings,
    half: Half = "all",
    capacity: Capacity = DEFAULT_CAPACITY,
) -> Judgement:
    """As ``evaluate``, with the figures of groups and of single users.

    Args:
        half: of the users with targets.
        capacity: which interests are searched.
    """
    bundle = open_bundle(bundle_path)
    ranker = open_ranker(bundle, capacity=capacity)
    return judge_ranker(ranker, bundle.manifest.rule, start, end, settings=settings, half=half)


def judge_ranker(
    ranker: Ranker,
    rule: PositiveRule,
    start: datetime,
    end: datetime,
    *,
    settings: Settings,
    half: Half = "all",
    cap: ImpressionCap = NO_CAP,
) -> Judgement:
    """The same for anything that ranks: several bundles and their merge, or a release.

    Args:
        rule: of positives, which the histories and the targets follow.
        cap: what was shown often enough before ``start`` is left out.
    """
    log = WatchLog(Lake(settings), end, rule)
    targets = log.targets(start, end)
    users = targets.keys[in_half(targets.keys, half)]
    return judge(ranker, Past.read(log, start, cap), part_of(targets, users), Catalogue.read(log))


def in_half(user_ids: Int64[np.ndarray, " B"], half: Half) -> Bool[np.ndarray, " B"]:
    """Which users belong to ``half``: parity of the SplitMix64 hash of the id, even ones are ``tune``.

    The same on every machine and for every log (Steele, Lea and Flood, OOPSLA 2014; constants of
    https://prng.di.unimi.it/splitmix64.c).
    """
    if half == "all":
        return np.ones(len(user_ids), dtype=bool)
    mixed = user_ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)  # wraps, as it should
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    is_odd = ((mixed ^ (mixed >> np.uint64(31))) & np.uint64(1)).astype(bool)
    return is_odd if half == "report" else ~is_odd


def judge(ranker: Ranker, past: Past, targets: IdLists, catalogue: Catalogue) -> Judgement:
    """Rank every user that has targets, in blocks, and average.

    Args:
        targets: see the head of this file.
    """
    tally = _Tally(targets, catalogue)
    for user_ids, ranked in rank_in_blocks(ranker, past, targets.keys, max(CUTOFFS)):
        tally.add(user_ids, ranked)
    return tally.judgement(group_users(past.histories, catalogue, targets.keys))


def part_of(lists: IdLists, keys: Int64[np.ndarray, " B"]) -> IdLists:
    """The part of ``lists`` with these ascending keys."""
    places, ids = lists.pairs(keys)
    sizes = np.bincount(places, minlength=len(keys))
    return IdLists(keys, np.concatenate([[0], sizes.cumsum()]), ids)


@dataclass(slots=True)
class _Column:
    """One metric of single users; not every user has it."""

    values: list[np.ndarray] = field(default_factory=list)
    applies: list[np.ndarray] = field(default_factory=list)

    def joined(self) -> tuple[Float[np.ndarray, " B"], Bool[np.ndarray, " B"]]:
        return np.concatenate(self.values).astype(np.float64), np.concatenate(self.applies)


class _Tally:
    """Adds up blocks of users; its memory does not grow with the length of the lists."""

    def __init__(self, targets: IdLists, catalogue: Catalogue) -> None:
        self._targets = targets
        self._catalogue = catalogue
        self._columns: dict[str, _Column] = {}
        self._exposures = np.zeros(len(catalogue), dtype=np.int64)
        self._num_won = np.zeros(0, dtype=np.int64)
        self._cosines = np.zeros((0, 0))
        self._num_known = 0

    def add(self, user_ids: Int64[np.ndarray, " B"], ranked: Ranked) -> None:
        """Count one block."""
        users, videos = self._targets.pairs(user_ids)
        num_targets = np.bincount(users, minlength=len(user_ids))
        hits = hits_of(ranked.lists.video_ids, users, videos)
        for cutoff in CUTOFFS:
            self._keep(f"recall_at_{cutoff}", recall_at(hits, num_targets, cutoff))
            self._keep(f"ndcg_at_{cutoff}", ndcg_at(hits, num_targets, cutoff))
        self._add_shown(ranked.lists.video_ids[:, :MAIN_CUTOFF])
        if ranked.interests is not None:
            self._add_interests(ranked, hits)

    def judgement(self, groupings: dict[str, Grouping]) -> Judgement:
        """The averages over all users and over each group."""
        columns = {name: column.joined() for name, column in self._columns.items()}
        num_targets = np.diff(self._targets.offsets)
        everybody = np.ones(len(num_targets), dtype=bool)
        metrics = _means(columns, num_targets, everybody)
        metrics["coverage"] = float((self._exposures > 0).mean())
        metrics["gini"] = gini(self._exposures)
        total = max(int(self._num_won.sum()), 1)
        metrics |= {f"share_won_{k}": float(num / total) for k, num in enumerate(self._num_won)}
        groups = {
            name: {
                label: _means(columns, num_targets, grouping.places == i)
                for i, label in enumerate(grouping.labels)
            }
            for name, grouping in groupings.items()
        }
        per_user = {name: np.where(applies, values, np.nan) for name, (values, applies) in columns.items()}
        cosines = self._cosines / self._num_known if self._num_known else None
        main = per_user.get(MAIN_METRIC, np.empty(0))
        return Judgement(metrics, self._targets.keys, main, per_user, groups, cosines)

    def _add_shown(self, top: Int64[np.ndarray, "B N"]) -> None:
        places = self._catalogue.places_of(top)
        users, shown = np.nonzero(places >= 0)[0], places[places >= 0]
        self._exposures += np.bincount(shown, minlength=len(self._catalogue))
        self._keep("uploader_diversity", num_distinct(users, self._catalogue.uploader_ids[shown], len(top)))
        tagged, tags = self._catalogue.tags.pairs(top.ravel())
        self._keep("tag_diversity", num_distinct(tagged // max(top.shape[1], 1), tags, len(top)))

    def _add_interests(self, ranked: Ranked, hits: Bool[np.ndarray, "B N"]) -> None:
        interests, searched, found = ranked.interests, ranked.searched, ranked.found
        assert interests is not None
        assert searched is not None
        assert found is not None
        known = np.asarray(searched.any(axis=1))
        num_interests = interests.shape[1]
        self._keep("searches", searched.sum(axis=1), known)
        if num_interests > 1:
            self._keep("mean_cosine", mean_pairwise_cosine(interests), known)
        if not len(self._cosines):
            self._cosines = np.zeros((num_interests, num_interests))
        self._cosines += pairwise_cosines(interests)[known].sum(axis=0, dtype=np.float64)
        self._num_known += int(known.sum())
        overlap = mean_pairwise_jaccard(found[:, :, :MAIN_CUTOFF], searched)
        self._keep("list_overlap", overlap, ~np.isnan(overlap))
        effective = effective_interests(ranked.lists.interests[:, :MAIN_CUTOFF], num_interests)
        self._keep("effective_interests", effective, ~np.isnan(effective))
        winners = ranked.lists.interests[hits]
        won = np.bincount(winners[winners >= 0], minlength=num_interests)
        self._num_won = won + (self._num_won if len(self._num_won) else 0)

    def _keep(self, name: str, values: np.ndarray, applies: np.ndarray | None = None) -> None:
        column = self._columns.setdefault(name, _Column())
        column.values.append(values)
        column.applies.append(np.ones(len(values), dtype=bool) if applies is None else applies)


def _means(
    columns: dict[str, tuple[np.ndarray, np.ndarray]],
    num_targets: Int64[np.ndarray, " B"],
    members: Bool[np.ndarray, " B"],
) -> Metrics:
    metrics: Metrics = dict.fromkeys(OF_INTERESTS)
    for name, (values, applies) in columns.items():
        counted = values[members & applies]
        metrics[name] = float(counted.mean()) if len(counted) else None
    metrics["num_users"] = float(members.sum())
    metrics["num_targets"] = float(num_targets[members].sum())
    return metrics
