"""Which rule of dynamic capacity saves most searches for least recall, on one bundle and one time span.

    python benchmarks/capacity.py BUNDLE A..B

The reference is searching every interest. Writes FACET_HOME/bench/capacity.json.
"""

import json
import platform
import sys
from pathlib import Path
from typing import Final

from features.capacity import Capacity
from features.days import parse_span
from features.settings import Settings
from training.evaluation import judge_bundle
from training.metrics import MAIN_METRIC

RULES: Final = {
    "all": Capacity(rule="all"),
    **{f"share {share:g}, history": Capacity(min_share=share) for share in (0.02, 0.05, 0.1, 0.15, 0.2)},
    **{
        f"share {share:g}, record": Capacity(min_share=share, use_record=True)
        for share in (0.02, 0.05, 0.1, 0.15, 0.2)
    },
    "log2, history": Capacity(rule="log2"),
    "log2, record": Capacity(rule="log2", use_record=True),
}


def main(bundle: Path, days: str) -> None:
    """Judge the bundle under every rule and print one line each."""
    settings = Settings()
    start, end = parse_span(days)
    cases = []
    for name, capacity in RULES.items():
        metrics = judge_bundle(bundle, start, end, settings=settings, capacity=capacity).metrics
        recall, searches = metrics[MAIN_METRIC] or 0.0, metrics["searches"] or 0.0
        first = cases[0] if cases else {"recall": recall, "searches": searches}
        case = {
            "name": name,
            "recall": recall,
            "searches": searches,
            "recall_change": recall / first["recall"] - 1,
            "searches_change": searches / first["searches"] - 1,
        }
        cases.append(case)
        sys.stdout.write(
            f"{name:<22} {MAIN_METRIC} {recall:.4f} ({case['recall_change']:+.1%})  "
            f"searches {searches:.2f} ({case['searches_change']:+.1%})\n"
        )
    best = min((c for c in cases if c["recall_change"] >= -0.01), key=lambda case: case["searches"])
    result = {
        "name": "capacity",
        "reference": "every interest searched",
        "ratio": best["searches"] / cases[0]["searches"],
        "ours": best["searches"],
        "theirs": cases[0]["searches"],
        "unit": "searches per request at 1% of recall_at_50 or less",
        "cases": cases,
        "machine": platform.platform(),
    }
    place = settings.root / "bench" / "capacity.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
