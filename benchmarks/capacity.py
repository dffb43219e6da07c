"""Which rule of dynamic capacity saves most searches for least recall, on one bundle and one time span.

    python -m benchmarks.capacity BUNDLE A..B

The reference is searching every interest. Rules are chosen on the users of the half ``tune`` and reported on
the half ``report``. Writes FACET_HOME/bench/capacity.json.
"""

import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.report import report
from features.capacity import DEFAULT_CAPACITY, Capacity
from features.days import parse_span
from features.settings import Settings
from training.evaluation import Half, judge_bundle
from training.metrics import MAIN_METRIC

SHARES: Final = (0.4, 0.6, 0.8)
RULES: Final = {
    "all": Capacity(rule="all"),
    "default": DEFAULT_CAPACITY,
    **{
        f"share {share:g}, prior {prior:g}{', record' if use_record else ''}": Capacity(
            min_share=share, prior_strength=prior, use_record=use_record
        )
        for use_record in (False, True)
        for prior in (1, 8, 32)
        for share in SHARES
    },
    "log2": Capacity(rule="log2"),
    "log2, record": Capacity(rule="log2", use_record=True),
}
TOLERANCE: Final = 0.01
"""Greatest loss of recall_at_50 that a rule may cost."""


def main(bundle: Path, days: str) -> None:
    """Judge the bundle under every rule, print one line each, and report the best one."""
    settings = Settings()
    tried = {name: _judge(bundle, days, capacity, "tune", settings) for name, capacity in RULES.items()}
    for name, case in tried.items():
        _print(name, case, tried["all"])
    fit = [n for n, c in tried.items() if c["recall"] >= tried["all"]["recall"] * (1 - TOLERANCE)]
    best = min(fit, key=lambda name: tried[name]["searches"])
    shown = {name: _judge(bundle, days, RULES[name], "report", settings) for name in ("all", "default", best)}
    sys.stdout.write("on the other half of the users:\n")
    for name, case in shown.items():
        _print(name, case, shown["all"])
    result = {
        "reference": "every interest searched",
        "ratio": shown[best]["searches"] / shown["all"]["searches"],
        "recall_change": shown[best]["recall"] / shown["all"]["recall"] - 1,
        "rule": best,
        "ours": shown[best]["searches"],
        "theirs": shown["all"]["searches"],
        "unit": "searches per request",
        "tune": tried,
        "report": shown,
    }
    report("capacity", result, shown=False)


def _judge(bundle: Path, days: str, capacity: Capacity, half: Half, settings: Settings) -> dict[str, float]:
    start, end = parse_span(days)
    judged = judge_bundle(bundle, start, end, settings=settings, half=half, capacity=capacity)
    return {
        "recall": judged.metrics[MAIN_METRIC] or 0.0,
        "searches": judged.metrics["searches"] or 0.0,
    }


def _print(name: str, case: dict[str, Any], every: dict[str, float]) -> None:
    sys.stdout.write(
        f"{name:<28} {MAIN_METRIC} {case['recall']:.4f} ({case['recall'] / every['recall'] - 1:+.1%})  "
        f"searches {case['searches']:.2f} ({case['searches'] / every['searches'] - 1:+.1%})\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
