"""Aggregates of 30 days through Ibis against the same in hand-written SQL; a new day against all; Spark.

    python -m benchmarks.aggregates [--events 1000000] [--days 30] [--spark]

Statistics of videos, uploaders, tags and users over 1, 7 and 30 days, affinities to tags and uploaders and
pairs of consecutive positives, from curated watches of an invented app. ``full_over_new_day`` compares sums
of all days and statistics as of the last with the sums of one day and the same statistics. Times are seconds
of CPU (all threads of this process), which a busy machine does not change, and of the clock; Spark's are of
the clock. Tables must be equal. Writes FACET_HOME/bench/aggregates.json; ratio: hand-written / Ibis, CPU.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.aggregates_sql import HandWritten
from benchmarks.report import report
from features.aggregates.config import AggregatesConfig
from features.aggregates.store import COUNTS_OF, Aggregates
from features.days import add_days, start_of
from features.lake import Lake, curated_schema
from features.schema import FLAGS, TAG_ID, UPLOADER_ID, VIDEOS, WATCHES
from features.settings import Settings

FIRST: Final = "2026-03-01"
NUM_TAGS: Final = 300
MICROS_PER_DAY: Final = 86_400_000_000


def invent_videos(num_videos: int, random: np.random.Generator) -> pa.Table:
    """A snapshot: an uploader for ten videos, one to three tags, 5 to 120 seconds."""
    tags = random.integers(0, NUM_TAGS, (num_videos, 3))
    lengths = random.integers(1, 4, num_videos)
    rows = {
        "video_id": np.arange(num_videos),
        "uploader_id": np.arange(num_videos) // 10,
        "tag_ids": [row[:length].tolist() for row, length in zip(tags, lengths, strict=True)],
        "duration_seconds": random.uniform(5, 120, num_videos),
        "is_online": np.ones(num_videos, dtype=bool),
    }
    return _complete(rows, VIDEOS, FIRST)


def invent_watches(day: str, num_events: int, num_users: int, num_videos: int) -> pa.Table:
    """A day of watches with Zipf-like users and videos; a tenth of every flag is unknown."""
    random = np.random.default_rng([7, *map(ord, day)])
    users = (num_users * random.random(num_events) ** 2).astype(np.int64)
    videos = (num_videos * random.random(num_events) ** 3).astype(np.int64)
    start = int(start_of(day).timestamp()) * 1_000_000
    flags = {name: _flag(random, num_events, 0.02) for name in FLAGS}
    number = pa.array(np.arange(num_events)).cast(pa.string())
    rows = {
        "event_id": pa.compute.binary_join_element_wise(day, number, "-"),
        "user_id": users,
        "video_id": videos,
        "event_time": pa.array(np.sort(random.integers(0, MICROS_PER_DAY, num_events)) + start).cast(
            pa.timestamp("us", tz="UTC")
        ),
        "watch_seconds": random.exponential(25, num_events),
        "long_watch": _flag(random, num_events, 0.35),
        **flags,
    }
    return _complete(rows, WATCHES, day)


def compute(aggregates: Aggregates | HandWritten, days: list[str]) -> dict[str, pa.Table]:
    """Everything as of the last day."""
    found = {f"stats {entity}": aggregates.stats(entity, days[-1]) for entity in COUNTS_OF}
    for key in (UPLOADER_ID, TAG_ID):
        found[f"affinities {key}"] = aggregates.affinities(key, days[-1], everyone=True)
    return found | {"transitions": aggregates.transitions(days)}


def update(aggregates: Aggregates | HandWritten, days: list[str]) -> None:
    """What single days store."""
    aggregates.update(days)
    aggregates.update_transitions(days)


def statistics(aggregates: Aggregates | HandWritten, days: list[str]) -> None:
    """What every new day needs: statistics of all entities."""
    for entity in COUNTS_OF:
        aggregates.stats(entity, days[-1])


def fill(settings: Settings, days: list[str], num_events: int) -> None:
    """Curated tables: a user for twenty watches of a day, a video for ten."""
    num_users, num_videos = max(num_events // 20, 100), max(num_events // 10, 100)
    lake = Lake(settings)
    lake.write_day(VIDEOS, FIRST, invent_videos(num_videos, np.random.default_rng(7)))
    for day in days:
        lake.write_day(WATCHES, day, invent_watches(day, num_events, num_users, num_videos))


def measure(settings: Settings, days: list[str]) -> dict[str, Any]:
    """Seconds of all days, of one more day, and of the windows; equal rows or an error."""
    root = settings.root / "aggregates"
    times: dict[str, Any] = {}
    tables: dict[str, dict[str, pa.Table]] = {}
    for name, kind in (("ibis", Aggregates), ("hand_written", HandWritten)):
        shutil.rmtree(root, ignore_errors=True)
        subject = kind(settings)
        times[f"{name}_days"] = _timed(lambda subject=subject: update(subject, days))
        for kind_of_sum in root.iterdir():
            shutil.rmtree(kind_of_sum / days[-1], ignore_errors=True)
        times[f"{name}_one_day"] = _timed(lambda subject=subject: update(subject, days))
        times[f"{name}_stats"] = _timed(lambda subject=subject: statistics(subject, days))
        times[f"{name}_windows"] = _timed(
            lambda name=name, subject=subject: tables.update({name: compute(subject, days)})
        )
        times[f"{name}_peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    _require_equal(tables["ibis"], tables["hand_written"])
    return times | {"rows": {name: table.num_rows for name, table in tables["ibis"].items()}}


def measure_spark(settings: Settings, days: list[str]) -> dict[str, Any]:
    """Seconds of everything on both engines, one after the other, row-wise equal or an error."""
    tables, times = {}, {}
    for engine in ("duckdb", "spark"):
        shutil.rmtree(settings.root / "aggregates", ignore_errors=True)
        chosen = settings.model_copy(update={"aggregates": AggregatesConfig(engine=engine)})
        started = time.perf_counter()
        tables[engine] = compute(Aggregates(chosen), days)
        times[f"{engine}_seconds"] = time.perf_counter() - started
    _require_equal(tables["duckdb"], tables["spark"])
    return times | {"equal_rows": sum(table.num_rows for table in tables["spark"].values())}


def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    days = [add_days(FIRST, age) for age in range(options.days)]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder) / "main")
        fill(settings, days, options.events)
        times = measure(settings, days)
        spark = None
        if options.spark:
            small = Settings(home=Path(folder) / "spark")
            some = days[: options.spark_days]
            fill(small, some, options.spark_events)
            spark = {"days": len(some), "events_per_day": options.spark_events} | measure_spark(small, some)
    cpu = {
        name: case["cpu_seconds"] for name, case in times.items() if isinstance(case, dict) and name != "rows"
    }
    ours, theirs = (cpu[f"{name}_days"] + cpu[f"{name}_windows"] for name in ("ibis", "hand_written"))
    result = {
        "reference": "hand-written DuckDB SQL",
        "ratio": theirs / ours,
        "ours": ours,
        "theirs": theirs,
        "unit": f"CPU seconds for {options.days} days of {options.events} events",
        "full_over_new_day": (cpu["ibis_days"] + cpu["ibis_stats"])
        / (cpu["ibis_one_day"] + cpu["ibis_stats"]),
        "times": times,
        "spark": spark,
    }
    report("aggregates", result)


def _timed(call: Callable[[], None]) -> dict[str, float]:
    started, worked = time.perf_counter(), time.process_time()
    call()
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}


def _flag(random: np.random.Generator, size: int, share: float) -> pa.Array:
    return pa.array(random.random(size) < share, mask=random.random(size) < 0.1)


def _complete(rows: dict[str, Any], table: str, day: str) -> pa.Table:
    """All columns of the curated table; what is not given is unknown."""
    size = len(next(iter(rows.values())))
    days = {"landing_day": [day] * size, "event_day": [day] * size, "snapshot_day": [day] * size}
    schema = curated_schema(table)
    known = rows | {name: column for name, column in days.items() if name in schema.names}
    columns = [
        pa.array(known[field.name], field.type) if field.name in known else pa.nulls(size, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays([_chunk(column) for column in columns], schema=schema)


def _chunk(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _require_equal(left: dict[str, pa.Table], right: dict[str, pa.Table]) -> None:
    for name, table in left.items():
        if not table.equals(right[name].cast(table.schema)):
            raise AssertionError(f"{name}: the two computations differ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="per day")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--spark", action="store_true", help="also compare DuckDB with PySpark")
    parser.add_argument("--spark-events", type=int, default=50_000, help="per day, for that comparison")
    parser.add_argument("--spark-days", type=int, default=7, help="for that comparison")
    main(parser.parse_args())
