"""How much of what bundles show their users turn down, on one time span.

    python -m benchmarks.negative_feedback A..B BUNDLE...

Per bundle, on the half ``report`` of the users who turned something down in the span:

- ``recall_at_50`` of the positives, as everywhere;
- ``turned_down_at_50``: the same of what these users disliked or always skipped in the span; lower is better;
- ``disliked_tag_share``: share of the first 50 places with a tag of which the user had turned down at least
  two videos and viewed none long before the span.

Writes FACET_HOME/bench/negative_feedback.json.

Shape letters: W watches of all users, B users, N places of a list, P pairs of a user and a tag.
"""

import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

from benchmarks.report import report
from features.bundle import open_bundle
from features.days import parse_span
from features.lake import Lake
from features.positives import Action
from features.settings import Settings
from training.config import ActionWeights
from training.dataset import WHOLE_PAST, IdLists, Sequences, WatchLog
from training.evaluation import Catalogue, in_half, judge, part_of
from training.metrics import hits_of, recall_at
from training.ranked import Past
from training.ranking import open_ranker, rank_in_blocks
from training.target_weights import WatchedVideos, weigh_videos

TOP: Final = 50
FEWEST: Final = 2
"""Videos of a tag that a user must have turned down."""
NUM_TAGS: Final = 1_000_000
"""Tag ids lie below."""


def main(days: str, *bundles: str) -> None:
    """Print one line per bundle."""
    start, end = parse_span(days)
    settings = Settings()
    found = {bundle: measure(Path(bundle), start, end, settings) for bundle in bundles}
    for bundle, figures in found.items():
        line = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
        sys.stdout.write(f"{bundle}: {line}\n")
    report("negative_feedback", {"days": days, "bundles": found}, shown=False)


def measure(bundle_path: Path, start: datetime, end: datetime, settings: Settings) -> dict[str, float]:
    """The three figures of one bundle."""
    bundle = open_bundle(bundle_path)
    log = WatchLog(Lake(settings), end, bundle.manifest.rule)
    past, catalogue, ranker = Past.read(log, start), Catalogue.read(log), open_ranker(bundle)
    targets = log.targets(start, end)
    chosen = part_of(targets, targets.keys[in_half(targets.keys, "report")])
    refused = turned_down(log.sequences(end, WHOLE_PAST), since=start)
    users = refused.keys[in_half(refused.keys, "report")]
    disliked = disliked_tags(log.sequences(start, WHOLE_PAST), catalogue)
    recalls, shares = [], []
    for block, ranked in rank_in_blocks(ranker, past, users, TOP):
        places, videos = refused.pairs(block)
        hits = hits_of(ranked.lists.video_ids, places, videos)
        recalls.append(recall_at(hits, np.bincount(places, minlength=len(block)), TOP))
        shares.append(share_with(ranked.lists.video_ids, block, disliked, catalogue))
    return {
        "recall_at_50": judge(ranker, past, chosen, catalogue).metrics["recall_at_50"] or 0.0,
        "turned_down_at_50": float(np.concatenate(recalls).mean()),
        "disliked_tag_share": float(np.concatenate(shares).mean()),
        "num_users": float(len(users)),
    }


def turned_down(watches: Sequences, since: datetime) -> IdLists:
    """What each user turned down at the first watch or later, first watched after ``since``."""
    users = np.repeat(np.arange(len(watches)), watches.lengths())
    videos = _weighed(watches, users)
    is_late = watches.times_us >= int(since.timestamp() * 1e6)
    wanted = videos.is_first & videos.is_turned_down & is_late
    keys, sizes = np.unique(watches.user_ids[users[wanted]], return_counts=True)
    return IdLists(keys, np.concatenate([[0], sizes.cumsum()]), watches.video_ids[wanted])


def disliked_tags(watches: Sequences, catalogue: Catalogue) -> Int64[np.ndarray, " P"]:
    """``user * NUM_TAGS + tag``, ascending, of the tags that users turned down and never viewed long."""
    users = np.repeat(np.arange(len(watches)), watches.lengths())
    videos = _weighed(watches, users)
    is_long = (watches.actions & Action.POSITIVE.value) > 0
    refused = _with_tags(watches, users, videos.is_first & videos.is_turned_down, catalogue)
    pairs, counts = np.unique(refused, return_counts=True)
    return np.setdiff1d(pairs[counts >= FEWEST], _with_tags(watches, users, is_long, catalogue))


def share_with(
    lists: Int64[np.ndarray, "B N"],
    user_ids: Int64[np.ndarray, " B"],
    disliked: Int64[np.ndarray, " P"],
    catalogue: Catalogue,
) -> np.ndarray:
    """Of each user who dislikes a tag, the share of places with one."""
    flat, tags = catalogue.tags.pairs(lists.ravel())
    pairs = user_ids[flat // lists.shape[1]] * NUM_TAGS + tags
    is_bad = np.zeros(lists.size, dtype=bool)
    is_bad[flat[np.isin(pairs, disliked)]] = True
    return is_bad.reshape(lists.shape).mean(axis=1)[np.isin(user_ids, disliked // NUM_TAGS)]


def _weighed(watches: Sequences, users: np.ndarray) -> WatchedVideos:
    return weigh_videos(
        users, watches.video_ids, watches.actions, weak_weight=0.3, action_weights=ActionWeights()
    )


def _with_tags(
    watches: Sequences, users: np.ndarray, chosen: Bool[np.ndarray, " W"], catalogue: Catalogue
) -> np.ndarray:
    places, tags = catalogue.tags.pairs(watches.video_ids[chosen])
    return watches.user_ids[users[chosen]][places] * NUM_TAGS + tags


if __name__ == "__main__":
    main(*sys.argv[1:])
