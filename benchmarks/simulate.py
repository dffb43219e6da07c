"""What do planted interests cost over rows drawn at random?

    python -m benchmarks.simulate [EVENTS]      (default 1,000,000, over eight days, formats mixed by day)

The reference writes as many rows of the same columns, each value drawn on its own, as gzip JSONL by DuckDB.
Each side runs in a process of its own: peak memory is its alone. Writes FACET_HOME/bench/simulate.json.
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.report import report
from benchmarks.sides import in_own_process
from features.lake import connect
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate

NUM_DAYS: Final = 8
NUM_VIDEOS: Final = 50_000
WATCHES_A_DAY: Final = 10
"""Of a user, nearly: what the simulator's defaults come to."""


def main(num_events: int) -> None:
    """Run both sides and report."""
    root = Settings().root / "bench" / "simulate"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    ours = in_own_process(planted, root / "ours", num_events)
    theirs = in_own_process(random_rows, root / "theirs", num_events)
    shutil.rmtree(root)
    report(
        "simulate",
        {
            "reference": "DuckDB: as many rows, each value drawn on its own, gzip JSONL",
            "ratio": ours["rate"] / theirs["rate"],
            "ours": ours["rate"],
            "theirs": theirs["rate"],
            "unit": "events/s",
            "cases": [{"name": "facet", **ours}, {"name": "duckdb", **theirs}],
        },
    )


def planted(folder: Path, num_events: int) -> dict[str, float]:
    """The simulator, with its snapshots and its truth."""
    config = SimulationConfig(
        num_days=NUM_DAYS,
        num_users=max(num_events // (NUM_DAYS * WATCHES_A_DAY), 1),
        num_videos=NUM_VIDEOS,
        num_uploaders=NUM_VIDEOS // 10,
    )
    started = time.perf_counter()
    found = simulate(config, Settings(home=folder))
    seconds = time.perf_counter() - started
    return {"rate": found.num_events / seconds, "seconds": seconds, "num_events": found.num_events}


def random_rows(folder: Path, num_events: int) -> dict[str, float]:
    """Rows that know nothing of one another."""
    started = time.perf_counter()
    folder.mkdir()
    flags = ", ".join(
        f"random() < .02 AS {name}" for name in ("liked", "followed", "shared", "commented", "disliked")
    )
    for day in range(NUM_DAYS):
        connect().execute(f"""
            COPY (SELECT md5('{day}-' || i)[:16] AS event_id, (random() * 1e5)::BIGINT AS user_id,
                         (random() * {NUM_VIDEOS})::BIGINT AS video_id,
                         strftime(TIMESTAMP '2026-03-01' + to_microseconds((random() * 86399e6)::BIGINT),
                                  '%Y-%m-%dT%H:%M:%S.%fZ') AS event_time,
                         round(random() * 60, 2) AS watch_seconds, random() < .3 AS long_watch, {flags},
                         'feed' AS scene, 'android' AS device, md5('{day}r' || i // 8)[:16] AS request_id,
                         'personal' AS channel, NULL AS interest
                  FROM range({num_events // NUM_DAYS}) AS r(i))
            TO '{folder / f"{day}.jsonl.gz"}' (FORMAT JSON, COMPRESSION GZIP)
        """)
    seconds = time.perf_counter() - started
    return {"rate": num_events / seconds, "seconds": seconds, "num_events": num_events}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
