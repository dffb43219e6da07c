"""What the settings of a merge are worth: the same channels merged in many ways, judged on one time span.

    python -m benchmarks.serving_merge A..B UNION.json [NAME=]BUNDLE...

UNION.json is what ``facet union --out`` wrote for these bundles. The first row is that union as it is; the
others change one thing. Users are those of the half ``report``; intervals are 95%, "against" is paired,
relative to the first row. ``facet evaluate BUNDLE... --union UNION.json --merge KEY=VALUE`` gives
the same figures of one row. Writes FACET_HOME/bench/serving_merge.json.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.report import report
from features.channels import open_channels
from features.days import parse_span
from features.hidden import hidden_videos
from features.lake import Lake
from features.live_items import items_at
from features.merge_config import INTERESTS, MergeConfig, parse_merge, read_merge_config
from features.popular import PopularVideos
from features.settings import Settings
from features.video_facts import facts_of_channels
from training.dataset import WatchLog
from training.evaluation import Catalogue, Judgement, in_half, judge, part_of
from training.intervals import mean_interval, paired_interval
from training.ranked import Past
from training.ranking import open_ranker
from training.union import Remembered, UnionRanker, common_rule

NO_PENALTY: Final = ["uploader_penalty=0", "tag_penalty=0"]
ALONE: Final = f"weights={INTERESTS}:1"
ROWS: Final[dict[str, list[str]]] = {
    "union": NO_PENALTY,
    "interests alone": [*NO_PENALTY, ALONE],
    **{f"category_diversity {x}": [*NO_PENALTY, f"category_diversity={x}"] for x in (0.25, 0.5)},
    **{f"vector_diversity {x}": [*NO_PENALTY, f"vector_diversity={x}"] for x in (0.25, 0.5)},
    **{f"interests alone, min_share {x}": [*NO_PENALTY, ALONE, f"min_share={x}"] for x in (0.0, 0.1)},
    "min_share 0.1": [*NO_PENALTY, "min_share=0.1"],
    "penalty of dislikes": [],
    "category_diversity 0.005": [*NO_PENALTY, "category_diversity=0.005"],
    "max_per_uploader 3": [*NO_PENALTY, "max_per_uploader=3"],
    "max_per_tag 10": [*NO_PENALTY, "max_per_tag=10"],
}
FIGURES: Final = ("recall_at_50", "ndcg_at_50", "coverage", "tag_diversity", "uploader_diversity")


def main(days: str, union_file: str, *bundles: str) -> None:
    """Print one line per row."""
    start, end = parse_span(days)
    settings, base = Settings(), read_merge_config(Path(union_file))
    channels = open_channels(bundles)
    log = WatchLog(Lake(settings), end, common_rule(channels))
    targets = log.targets(start, end)
    wanted = part_of(targets, targets.keys[in_half(targets.keys, "report")])
    past, catalogue = Past.read(log, start), Catalogue.read(log)
    items = items_at(channels, start, settings)
    popular, facts_of = PopularVideos.of_channels(channels), facts_of_channels(items)
    hidden = hidden_videos(channels, items)
    finders: dict[tuple[str, float | None], Remembered] = {}

    def judged(merge: MergeConfig) -> Judgement:
        asked = {}
        for name in merge.asked(channels):
            key = (name, merge.min_share)
            if key not in finders:
                ranker = open_ranker(channels[name], min_share=merge.min_share, live=items.get(name))
                finders[key] = Remembered(ranker)
            asked[name] = finders[key]
        return judge(UnionRanker(asked, merge, popular, facts_of, hidden=hidden), past, wanted, catalogue)

    first, rows = None, []
    for name, options in ROWS.items():
        started, merge = time.monotonic(), parse_merge(options, base)
        found = judged(merge)
        first = first or found
        line: dict[str, Any] = {"name": name} | {figure: found.metrics[figure] for figure in FIGURES}
        line |= {"interval": mean_interval(found.main), "against": paired_interval(found, first)}
        line["tags_against"] = paired_interval(found, first, metric="tag_diversity")
        rows.append(line | {"seconds": time.monotonic() - started})
        sys.stdout.write(f"{json.dumps(rows[-1])}\n")
        sys.stdout.flush()
    facts = {"days": days, "bundles": bundles, "union": base.model_dump(), "rows": rows}
    report("serving_merge", facts, shown=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
