"""What do typing, deduplication, checks and an atomic commit cost over bare DuckDB on the same files?

    python -m benchmarks.ingest [EVENTS]        (default 1,000,000, over ten days, gzip JSONL)

The reference reads the files, sorts each day by user and time and writes it as Parquet: no types are checked,
no row is compared with another, nothing is atomic. Both run in processes of their own, so that peak memory is
theirs alone. Writes FACET_HOME/bench/ingest.json.
"""

import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

from benchmarks.report import report
from benchmarks.sides import in_own_process
from features.days import add_days
from features.ingest import commit, stage
from features.lake import Lake, connect
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.validation import validate

FIRST_DAY: Final = "2026-03-01"
NUM_DAYS: Final = 10
NUM_VIDEOS: Final = 50_000
EVENTS_PER_USER: Final = 20


def main(num_events: int) -> None:
    """Write the files, run both sides and report."""
    root = Settings().root / "bench" / "ingest"
    shutil.rmtree(root, ignore_errors=True)
    settings = Settings(home=root)
    days = [add_days(FIRST_DAY, i) for i in range(NUM_DAYS)]
    write_files(settings, days, num_events)
    theirs = in_own_process(bare_duckdb, settings, days)
    ours = in_own_process(facet, settings, days)
    counts = Lake(settings).day_counts(WATCHES)
    assert sum(counts.values()) == num_events, f"{num_events} events, {sum(counts.values())} in the lake"
    shutil.rmtree(root)
    report(
        "ingest",
        {
            "reference": "DuckDB: read, sort, write",
            "ratio": theirs["seconds"] / ours["seconds"],
            "ours": num_events / ours["seconds"],
            "theirs": num_events / theirs["seconds"],
            "unit": "events/s",
            "cases": [{"name": "facet", **ours}, {"name": "duckdb", **theirs}],
            "num_events": num_events,
        },
    )


def write_files(settings: Settings, days: list[str], num_events: int) -> None:
    """``num_events`` watches of equal days, and a snapshot of videos and users on the first."""
    sql = connect()
    num_users = max(num_events // EVENTS_PER_USER, 1)
    per_day = num_events // len(days)
    for number, day in enumerate(days):
        rows = per_day + (num_events % len(days) if number == 0 else 0)
        _write(
            settings.landing / WATCHES / day / "a.jsonl.gz",
            f"""
            SELECT 'e{number}-' || i AS event_id, (random() * {num_users - 1})::BIGINT AS user_id,
                   (random() * random() * {NUM_VIDEOS - 1})::BIGINT AS video_id,
                   strftime(TIMESTAMP '{day}' + to_microseconds((random() * 86399e6)::BIGINT),
                            '%Y-%m-%dT%H:%M:%S.%f+00:00') AS event_time,
                   round(random() * 60, 1) AS watch_seconds, random() < .3 AS long_watch,
                   random() < .02 AS liked, random() < .005 AS shared, 'feed' AS scene, 'android' AS device
            FROM range({rows}) AS r(i)
            """,
        )
    _write(
        settings.landing / VIDEOS / days[0] / "a.jsonl.gz",
        f"""
        SELECT i AS video_id, i % 5000 AS uploader_id, [i % 300, 300 + i % 50] AS tag_ids,
               5 + i % 60 AS duration_seconds, true AS is_online FROM range({NUM_VIDEOS}) AS r(i)
        """,
    )
    _write(
        settings.landing / USERS / days[0] / "a.jsonl.gz",
        f"SELECT i AS user_id, 'young' AS segment FROM range({num_users}) AS r(i)",
    )
    sql.close()


def bare_duckdb(settings: Settings, days: list[str]) -> dict[str, float]:
    """Read, sort and write each day."""
    sql = connect()
    started = time.perf_counter()
    for day in days:
        out = settings.root / "bare" / f"{day}.parquet"
        out.parent.mkdir(parents=True, exist_ok=True)
        source = settings.landing / WATCHES / day / "a.jsonl.gz"
        sql.execute(
            f"COPY (SELECT * FROM read_json('{source}') ORDER BY user_id, event_time, event_id) TO '{out}'"
        )
    return {"seconds": time.perf_counter() - started}


def facet(settings: Settings, days: list[str]) -> dict[str, float]:
    """Stage, validate and commit."""
    moments = [time.perf_counter()]
    folder = stage(days, settings=settings)
    moments.append(time.perf_counter())
    validate(folder, settings=settings)
    moments.append(time.perf_counter())
    commit(folder, settings=settings)
    moments.append(time.perf_counter())
    staged, validated, committed = (after - before for before, after in pairwise(moments))
    total = moments[-1] - moments[0]
    return {
        "seconds": total,
        "stage_seconds": staged,
        "validate_seconds": validated,
        "commit_seconds": committed,
        "validate_share": validated / total,
    }


def _write(path: Path, query: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connect().execute(f"COPY ({query}) TO '{path}' (FORMAT JSON, COMPRESSION GZIP)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
