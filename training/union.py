"""Several bundles as one list, fused by ``features/merge.py`` exactly as serving does it.

The weights are chosen on the users of the half ``tune`` and judged on the others.

Shape letters: B users, N places of a list, H videos hidden from everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Final, get_args

import numpy as np
import structlog
from jaxtyping import Int64

from features.arrange import FactsOf, Limits, arrange
from features.bundle import Bundle
from features.channels import open_channels
from features.errors import BadInputError
from features.hidden import hidden_videos
from features.lake import Lake
from features.live_items import LiveItems, items_at
from features.merge import NO_VIDEO, Merged, fuse
from features.merge_config import Fusion, MergeConfig
from features.penalty import is_disliked, penalties_of
from features.popular import NOBODY, PopularVideos
from features.positives import PositiveRule
from features.settings import Settings
from features.video_facts import facts_of_channels, nobody_knows
from training.catalogue import Catalogue
from training.dataset import IdLists, WatchLog
from training.evaluation import Half, Judgement, in_half, judge, part_of
from training.metrics import MAIN_METRIC, Metrics
from training.ranked import NO_INTEREST, Finder, Past, Ranked
from training.ranking import open_ranker

log = structlog.get_logger(__name__)

STEPS: Final = 10
"""Weights are tried in steps of a tenth."""


class UnionRanker:
    """Fuses what several channels find; popular videos fill the rest, as for users whom nobody knows.

    Args:
        finders: by channel.
        facts_of: what the merge's arrangement needs to know of candidates.
        hidden: videos that nobody is shown.
    """

    def __init__(
        self,
        finders: Mapping[str, Finder],
        merge: MergeConfig,
        popular: PopularVideos,
        facts_of: FactsOf,
        *,
        hidden: Int64[np.ndarray, " H"] = NOBODY.video_ids,
    ) -> None:
        self._finders, self._merge, self._popular = finders, merge, popular
        self._facts_of = facts_of
        self._hidden = hidden

    @classmethod
    def of(
        cls,
        bundles: Mapping[str, Bundle],
        merge: MergeConfig,
        items: Mapping[str, LiveItems],
    ) -> "UnionRanker":
        """From bundles by channel.

        Args:
            items: the videos of today of those that have items.
        """
        finders = {
            name: open_ranker(bundles[name], min_share=merge.min_share, live=items.get(name))
            for name in merge.asked(bundles)
        }
        popular, hidden = PopularVideos.of_channels(bundles), hidden_videos(bundles, items)
        return cls(finders, merge, popular, facts_of_channels(items), hidden=hidden)

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        past = past.without(self._hidden, user_ids)
        histories, penalty = past.histories.histories(user_ids), self._merge.penalty
        is_penalised = penalty.is_set and any(is_disliked(history).any() for history in histories)
        depth = self._merge.depth_of(self._finders, top_n, is_penalised=is_penalised)
        asked, unseen = self._merge.asked(self._finders), past.without_capped(user_ids)
        lists = {name: self._finders[name].find(unseen, user_ids, depth) for name in asked}
        fused = fuse(lists, self._merge, depth)
        penalties = None
        if self._facts_of is not nobody_knows:
            penalties = penalties_of(fused, histories, self._facts_of, penalty, past.moment)
        best = arrange(fused, self._facts_of, self._merge.arrange, top_n, penalties)
        return Ranked(self._filled(best, past, user_ids, top_n))

    def _filled(self, lists: Merged, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Merged:
        shape = (len(user_ids), top_n)
        ids, scores = np.full(shape, NO_VIDEO, dtype=np.int64), np.full(shape, -np.inf)
        interests = np.full(shape, NO_INTEREST, dtype=np.int64)
        width = lists.video_ids.shape[1]
        for whole, part in ((ids, lists.video_ids), (scores, lists.scores), (interests, lists.interests)):
            whole[:, :width] = part
        num_found = (ids != NO_VIDEO).sum(axis=1)
        short = np.flatnonzero(num_found < top_n)
        (users, seen), (others, capped) = past.seen.pairs(user_ids[short]), past.capped.pairs(user_ids[short])
        for place, user in enumerate(short.tolist()):
            found = num_found[user]
            top = self._popular.fill(
                past.segments.get(int(user_ids[user])),
                int(top_n - found),
                exclude=np.concatenate([seen[users == place], ids[user, :found]]),
                last=capped[others == place],
                limits=Limits(self._merge.arrange, self._facts_of, ids[user, :found]),
            )
            places = slice(found, found + len(top.video_ids))
            ids[user, places], scores[user, places] = top.video_ids, top.scores
        return Merged(ids, scores, interests)


class Remembered:
    """A finder that answers for each block of users once: only the weights change between two calls."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._lists: dict[int, tuple[int, Merged]] = {}

    def find(self, past: Past, user_ids: Int64[np.ndarray, " B"], limit: int) -> Merged:
        """See ``Finder``; a longer list than before is looked for anew."""
        first = int(user_ids[0])
        depth, found = self._lists.get(first, (0, None))
        if found is None or depth < limit:
            found = self._finder.find(past, user_ids, limit)
            self._lists[first] = (limit, found)
        return Merged(found.video_ids[:, :limit], found.scores[:, :limit], found.interests[:, :limit])


@dataclass(frozen=True, slots=True)
class Union:
    """The best way to fuse some bundles."""

    bundles: dict[str, str]
    """Channel to ``<model>/<version>``."""
    merge: MergeConfig
    """Weights by channel, which add up to 1, and the fusion; what ``facet publish --union`` reads."""
    tune: Metrics
    report: Judgement


def tune_union(bundles: Sequence[str | Path], start: datetime, end: datetime, *, settings: Settings) -> Union:
    """Try all weights in steps of a tenth and all ways to fuse, by ``recall_at_50`` of the half ``tune``.

    The videos are those that serving would have known at ``start``, as the histories are.

    Args:
        bundles: paths, or ``NAME=PATH``, see ``features/channels.py``.

    Raises:
        BadInputError: fewer than two bundles, or two for one channel.
    """
    if len(bundles) < 2:
        raise BadInputError("a union needs at least two bundles")
    channels = open_channels(bundles)
    watches = WatchLog(Lake(settings), end, common_rule(channels))
    past, catalogue, targets = Past.read(watches, start), Catalogue.read(watches), watches.targets(start, end)
    items = items_at(channels, start, settings)
    popular, facts_of = PopularVideos.of_channels(channels), facts_of_channels(items)
    hidden = hidden_videos(channels, items)

    def judged(finders: Mapping[str, Finder], merge: MergeConfig, half: Half) -> Judgement:
        users = targets.keys[in_half(targets.keys, half)]
        wanted: IdLists = part_of(targets, users)
        ranker = UnionRanker(finders, merge, popular, facts_of, hidden=hidden)
        return judge(ranker, past, wanted, catalogue)

    finders = {name: open_ranker(bundle, live=items.get(name)) for name, bundle in channels.items()}
    remembered = {name: Remembered(finder) for name, finder in finders.items()}
    best: tuple[float, MergeConfig, Metrics] | None = None
    for merge in _all_merges(list(channels)):
        metrics = judged(remembered, merge, "tune").metrics
        value = metrics[MAIN_METRIC] or 0.0
        log.info("union judged", fusion=merge.fusion, weights=merge.weights, recall_at_50=round(value, 4))
        if best is None or value > best[0]:
            best = (value, merge, metrics)
    assert best is not None
    _, merge, metrics = best
    names = {name: bundle.name for name, bundle in channels.items()}
    return Union(names, merge, metrics, judged(finders, merge, "report"))


def common_rule(channels: Mapping[str, Bundle]) -> PositiveRule:
    """What counts as a positive for all of these bundles.

    Raises:
        BadInputError: they were trained under different rules.
    """
    rules = {name: bundle.manifest.rule for name, bundle in channels.items()}
    first, *others = rules
    if differing := [name for name in others if rules[name] != rules[first]]:
        raise BadInputError(
            f"{first} and {', '.join(differing)} were trained under different rules of what a positive is; "
            "train them again under one rule"
        )
    return rules[first]


def _all_merges(channels: Sequence[str]) -> list[MergeConfig]:
    """Every way to fuse and to share 1 in steps; a channel may get nothing."""
    fusions: tuple[Fusion, ...] = get_args(Fusion)
    parts = product(range(STEPS + 1), repeat=len(channels))
    shares = [[part / STEPS for part in split] for split in parts if sum(split) == STEPS]
    return [
        MergeConfig(weights=dict(zip(channels, split, strict=True)), fusion=fusion)
        for fusion, split in product(fusions, shares)
    ]
