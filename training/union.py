"""Several bundles as one list: each ranks on its own, ``merge_channels`` fuses what they found.

The weights are chosen on the users of the half ``tune`` and judged on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Final, get_args

import numpy as np
import structlog
from jaxtyping import Int64

from features.bundle import open_bundle
from features.errors import BadInputError
from features.lake import Lake
from features.merge import Fusion, Merged, merge_channels
from features.settings import Settings
from training.catalogue import Catalogue
from training.dataset import IdLists, WatchLog
from training.evaluation import Half, Judgement, in_half, judge, part_of
from training.metrics import MAIN_METRIC, Metrics
from training.ranked import Past, Ranked, Ranker
from training.ranking import open_ranker

log = structlog.get_logger(__name__)

DEPTH: Final = 500
"""Places of a channel's list that are fused; what lies deeper counts as not found."""
STEPS: Final = 10
"""Weights are tried in steps of a tenth."""


class UnionRanker:
    """Fuses the lists of several rankers.

    Args:
        weights: of the channels, at least 0.
    """

    def __init__(self, rankers: Sequence[Ranker], weights: Sequence[float], fusion: Fusion) -> None:
        self._rankers, self._weights, self._fusion = rankers, weights, fusion

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        """See ``Ranker``."""
        lists = [ranker.rank(past, user_ids, max(DEPTH, top_n)).lists for ranker in self._rankers]
        return Ranked(merge_channels(lists, self._weights, top_n, fusion=self._fusion))


class _Remembered:
    """A ranker that ranks each block of users once: only the weights change between two calls."""

    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker
        self._lists: dict[int, Merged] = {}

    def rank(self, past: Past, user_ids: Int64[np.ndarray, " B"], top_n: int) -> Ranked:
        first = int(user_ids[0])
        if first not in self._lists:
            self._lists[first] = self._ranker.rank(past, user_ids, top_n).lists
        return Ranked(self._lists[first])


@dataclass(frozen=True, slots=True)
class Union:
    """The best way to fuse some bundles."""

    weights: dict[str, float]
    """Bundle to weight; they add up to 1."""
    fusion: Fusion
    tune: Metrics
    report: Judgement


def tune_union(paths: Sequence[Path], start: datetime, end: datetime, *, settings: Settings) -> Union:
    """Try all weights in steps of a tenth and all ways to fuse, by ``recall_at_50`` of the half ``tune``.

    Raises:
        BadInputError: fewer than two bundles.
    """
    if len(paths) < 2:
        raise BadInputError("a union needs at least two bundles")
    bundles = [open_bundle(path) for path in paths]
    watches = WatchLog(Lake(settings), end, bundles[0].manifest.rule)
    past, catalogue, targets = Past.read(watches, start), Catalogue.read(watches), watches.targets(start, end)

    def judged(rankers: Sequence[Ranker], shares: Sequence[float], fusion: Fusion, half: Half) -> Judgement:
        users = targets.keys[in_half(targets.keys, half)]
        wanted: IdLists = part_of(targets, users)
        return judge(UnionRanker(rankers, shares, fusion), past, wanted, catalogue)

    rankers = [_Remembered(open_ranker(bundle)) for bundle in bundles]
    best: tuple[float, tuple[float, ...], Fusion, Metrics] | None = None
    for fusion, shares in product(get_args(Fusion), _all_shares(len(paths))):
        metrics = judged(rankers, shares, fusion, "tune").metrics
        value = metrics[MAIN_METRIC] or 0.0
        log.info("union judged", fusion=fusion, weights=shares, recall_at_50=round(value, 4))
        if best is None or value > best[0]:
            best = (value, shares, fusion, metrics)
    assert best is not None
    _, shares, fusion, metrics = best
    report = judged([open_ranker(bundle) for bundle in bundles], shares, fusion, "report")
    weights = {bundle.name: share for bundle, share in zip(bundles, shares, strict=True)}
    return Union(weights, fusion, metrics, report)


def _all_shares(num_channels: int) -> list[tuple[float, ...]]:
    """Every way to share 1 in steps; a channel may get nothing."""
    parts = product(range(STEPS + 1), repeat=num_channels)
    return [tuple(part / STEPS for part in split) for split in parts if sum(split) == STEPS]
