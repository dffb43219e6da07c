"""Do interests find what the simulator planted, and do several beat one, by number of true interests?

    facet simulate --last-day 2026-11-20 && facet ingest 2026-10-31..2026-11-20
    python -m benchmarks.planted_interests 2026-11-18 2026-11-19..2026-11-20 [--set KEY=VALUE]...

Trains popularity, and ``single_activation`` with one and with four interests, on everything until the end
of the first day, and judges them on the days after. Prints one line per number of true interests and one
for all users; writes FACET_HOME/bench/planted_interests.json.
"""

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.report import report
from features.bundle import open_bundle
from features.days import day_of, parse_moment, parse_span
from features.lake import Lake
from features.settings import Settings
from training.catalogue import Catalogue
from training.dataset import WatchLog
from training.evaluation import Judgement, judge_bundle
from training.intervals import mean_interval, paired_difference
from training.metrics import MAIN_CUTOFF
from training.planted import Match, Planted, match_interests, topic_shares
from training.ranked import Past
from training.ranking import open_ranker, rank_in_blocks
from training.run import train
from training.settings import TrainingSettings

MANY: Final = 4
SEVERAL: Final = 3
"""From so many true interests on, several vectors should beat one."""
SHUFFLE_SEED: Final = 7
COLUMNS: Final = (
    "true",
    "users",
    "hits",
    "wrong",
    "missing",
    "share",
    "by chance",
    "one",
    "four",
    "four - one",
)
HEADINGS: Final = dict(zip(COLUMNS, COLUMNS, strict=True))


def main(until: str, days: str, overrides: list[str]) -> None:
    """Train, judge, match, print."""
    settings, training = Settings(), TrainingSettings(mlflow_uri="off")
    moment, span = parse_moment(until), parse_span(days)

    def bundle(model: str, *more: str) -> Path:
        return train(model, moment, settings=settings, overrides=more, show_progress=False, training=training)

    bundles = {
        "popularity": bundle("popularity"),
        "one": bundle("single_activation", "num_interests=1", *overrides),
        "four": bundle("single_activation", f"num_interests={MANY}", *overrides),
    }
    judged = {name: judge_bundle(path, *span, settings=settings) for name, path in bundles.items()}
    user_ids = judged["four"].user_ids
    planted = Planted.read(settings, day_of(moment - timedelta(microseconds=1)))
    match, chance = _matches(bundles["four"], user_ids, span, planted, settings)
    groups = {
        "all": np.ones(len(user_ids), dtype=bool),
        f"below {SEVERAL}": match.num_planted < SEVERAL,
        f"{SEVERAL} or more": match.num_planted >= SEVERAL,
    }
    groups |= {str(n): match.num_planted == n for n in np.unique(match.num_planted)}
    lines = [_line(name, users, match, chance, judged) for name, users in groups.items()]
    low, high = paired_difference(judged["four"], judged["popularity"])
    matched, shuffled = mean_interval(match.share), mean_interval(chance.share)
    text = ["  ".join(f"{line[column]:>10}" for column in COLUMNS) for line in (HEADINGS, *lines)]
    text.append(f"recall_at_50 of four minus popularity: 95% {low:+.4f}..{high:+.4f}")
    text.append(f"matched share: 95% {matched[0]:.3f}..{matched[1]:.3f}")
    text.append(f"matched share by chance: 95% {shuffled[0]:.3f}..{shuffled[1]:.3f}")
    sys.stdout.write("\n".join(text) + "\n")
    result = {
        "overrides": overrides,
        "lines": lines,
        "over_popularity": [low, high],
        "share": matched,
        "share_by_chance": shuffled,
        "bundles": {name: str(path) for name, path in bundles.items()},
    }
    report("planted_interests", result, shown=False)


def _matches(
    path: Path, user_ids: np.ndarray, span: tuple[Any, Any], planted: Planted, settings: Settings
) -> tuple[Match, Match]:
    """Each user's interests against the planted topics, and against those of another user."""
    bundle = open_bundle(path)
    log = WatchLog(Lake(settings), span[1], bundle.manifest.rule)
    catalogue, past = Catalogue.read(log), Past.read(log, span[0])
    shares = []
    for _, ranked in rank_in_blocks(open_ranker(bundle), past, user_ids, MAIN_CUTOFF):
        assert ranked.found is not None
        assert ranked.searched is not None
        shares.append(topic_shares(ranked.found, ranked.searched, catalogue, planted))
    every = np.concatenate(shares)
    return (
        match_interests(user_ids, every, planted),
        match_interests(user_ids, every, planted.shuffled(SHUFFLE_SEED)),
    )


def _line(
    name: str, users: np.ndarray, match: Match, chance: Match, judged: dict[str, Judgement]
) -> dict[str, str]:
    one, four = (_part(judged[k], users) for k in ("one", "four"))
    low, high = paired_difference(four, one)
    return {
        "true": name,
        "users": str(int(users.sum())),
        "hits": f"{match.num_hits[users].mean():.2f}",
        "wrong": f"{match.num_wrong[users].mean():.2f}",
        "missing": f"{match.num_missing[users].mean():.2f}",
        "share": f"{match.share[users].mean():.3f}",
        "by chance": f"{chance.share[users].mean():.3f}",
        "one": f"{one.main.mean():.4f}",
        "four": f"{four.main.mean():.4f}",
        "four - one": f"{low:+.3f}..{high:+.3f}",
    }


def _part(judged: Judgement, users: np.ndarray) -> Judgement:
    return Judgement(judged.metrics, judged.user_ids[users], judged.main[users])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("until", help="a day (its end, UTC) or an ISO time with offset")
    parser.add_argument("days", metavar="A..B", help="judged days")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args()
    main(arguments.until, arguments.days, arguments.overrides)
