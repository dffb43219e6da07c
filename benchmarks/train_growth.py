"""How the training step slows down and how much memory it takes as the log and the catalogue grow.

    python -m benchmarks.train_growth [--seconds 6]

ComiRec-SA with all prefixes, shapes as in ``train_step.py``, one thread; 10,000 and 100,000 users are about
1.1 and 11 million examples. Writes FACET_HOME/bench/train_growth.json; its ratio is the speed at a million
videos against that at ten thousand.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.report import report
from benchmarks.train_step import in_own_process, invent

SMALL, LARGE = 10_000, 1_000_000
SIZES: Final = ((10_000, 100_000), (100_000, 100_000), (20_000, SMALL), (20_000, LARGE))
"""Users and videos."""


def main() -> None:
    """Time every size and print one line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6.0)
    seconds = parser.parse_args().seconds
    cases = []
    for num_users, num_videos in SIZES:
        with tempfile.TemporaryDirectory(prefix="facet-bench-") as folder:
            path = Path(folder) / "sequences.npz"
            invent(path, num_users, num_videos)
            facts = in_own_process("comirec", path, seconds)
        cases.append({"users": num_users, "videos": num_videos} | facts)
        speed, peak = facts["examples_per_second"], facts["peak_memory_mb"]
        sys.stdout.write(
            f"{num_users:>8,} users {num_videos:>10,} videos {speed:>9,.0f} examples/s {peak:,.0f} MB\n"
        )
    speeds = {case["videos"]: case["examples_per_second"] for case in cases[2:]}
    result = {
        "reference": f"{SMALL:,} videos",
        "ratio": speeds[LARGE] / speeds[SMALL],
        "ours": speeds[LARGE],
        "theirs": speeds[SMALL],
        "unit": "examples per second",
        "cases": cases,
    }
    report("train_growth", result, shown=False)


if __name__ == "__main__":
    main()
