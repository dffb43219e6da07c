"""Rows per second into SQLite and a real Redis, all and changed ones, against Feast's own ``materialize``.

    python -m benchmarks.materialize [--users 20000] [--lookups 2000] [--views ...]

Two days of an invented app are made into snapshots. All rows of the first go into an empty store; on the
second one user in ten watches, and the rows that differ are written; then both days count as made again, as
after a late file, with equal rows. Feast copies the same days into a store of its own, with the same views.
Users are looked up one after the other. Redis is Debian's ``redis-server``, started here on a free port.
Writes FACET_HOME/bench/materialize.json; ratio: seconds of Feast / ours for all rows, SQLite.
"""

import argparse
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import feast
import numpy as np
import pyarrow.parquet as pq
import redis

from benchmarks.aggregates import FIRST, invent_videos, invent_watches
from benchmarks.report import report
from features.days import add_days, end_of
from features.lake import Lake
from features.online import bring_online
from features.schema import VIDEOS, WATCHES
from features.settings import Settings
from features.snapshots import KEY_OF, USER_HISTORY, USER_SEEN, build_snapshots, snapshot_path
from features.store import FeatureStore

SECOND: Final = add_days(FIRST, 1)
VIEWS: Final = [USER_HISTORY, USER_SEEN, "user_tag_affinity"]
VIDEOS_PER_USER: Final = 0.5
WATCHES_PER_USER: Final = 20


def fill(settings: Settings, num_users: int) -> None:
    """Two curated days; on the second, one user in ten watches."""
    lake, num_videos = Lake(settings), int(num_users * VIDEOS_PER_USER)
    lake.write_day(VIDEOS, FIRST, invent_videos(num_videos, np.random.default_rng(7)))
    for day, users in ((FIRST, num_users), (SECOND, num_users // 10)):
        lake.write_day(WATCHES, day, invent_watches(day, users * WATCHES_PER_USER, users, num_videos))


def measure(home: Settings, views: Sequence[str], num_lookups: int) -> dict[str, Any]:
    """Seconds and rows of both days, ours and Feast's, and of look-ups, in the store that ``home`` names."""
    store = FeatureStore(home)
    store.apply()
    found: dict[str, Any] = {"all_rows": _ours(store, home, [FIRST], views)}
    found["changed_rows"] = _ours(store, home, [FIRST, SECOND], views)
    found["equal_rows"] = _ours(store, home, [FIRST, SECOND], views, made_of="another file")
    found["lookup_ms"] = _lookups(store, home, num_lookups)
    _empty(home)
    FeatureStore(home).apply()
    found["all_rows"] |= _feast(home, [FIRST], views)
    found["changed_rows"] |= _feast(home, [SECOND], views)
    found["equal_rows"] |= _feast(home, [FIRST, SECOND], views)
    return found


def _ours(
    store: FeatureStore, home: Settings, days: Sequence[str], views: Sequence[str], *, made_of: str = "files"
) -> dict[str, float]:
    """As if only ``days`` had been built yet."""
    hidden = [] if SECOND in days else _hide(home)
    started = time.perf_counter()
    built = dict.fromkeys(days, made_of)
    rows = bring_online(store, home, built, views={view: KEY_OF[view] for view in views})
    seconds = time.perf_counter() - started
    for path in hidden:
        path.with_suffix(".later").rename(path)
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds}


def _hide(home: Settings) -> list[Path]:
    hidden = [snapshot_path(home, view, SECOND) for view in KEY_OF]
    for path in hidden:
        path.rename(path.with_suffix(".later"))
    return hidden


def _feast(home: Settings, days: Sequence[str], views: Sequence[str]) -> dict[str, float]:
    counts = [pq.read_metadata(snapshot_path(home, view, day)).num_rows for view in views for day in days]
    own = feast.FeatureStore(repo_path=str(home.feast))
    started = time.perf_counter()
    own.materialize(end_of(days[0]) - timedelta(hours=1), end_of(days[-1]), feature_views=list(views))
    seconds = time.perf_counter() - started
    return {
        "feast_seconds": seconds,
        "feast_rows": sum(counts),
        "feast_rows_per_second": sum(counts) / seconds,
    }


def _lookups(store: FeatureStore, home: Settings, number: int) -> dict[str, float]:
    users = pq.read_table(snapshot_path(home, USER_HISTORY, FIRST))["user_id"].to_numpy()
    store.lookup(int(users[0]))
    times = []
    for user in np.random.default_rng(3).choice(users, number).tolist():
        started = time.perf_counter()
        store.lookup(user)
        times.append((time.perf_counter() - started) * 1000)
    return {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}


def _empty(home: Settings) -> None:
    if home.redis:
        host, port = home.redis.split(":")
        redis.Redis(host, int(port)).flushall()
    (home.feast / "online.db").unlink(missing_ok=True)
    (home.feast / "registry.db").unlink()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """``host:port`` of a Redis of our own."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                redis.Redis("127.0.0.1", port).ping()
                break
            except redis.ConnectionError:
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = Settings(home=folder / "home")
        fill(home, options.users)
        started = time.perf_counter()
        rows = dict(build_snapshots([FIRST, SECOND], home))
        build_seconds = time.perf_counter() - started
        shutil.copytree(home.root, folder / "redis_home")
        cases = {"sqlite": measure(home, options.views, options.lookups)}
        with redis_server(folder) as address:
            on_redis = Settings(home=folder / "redis_home", redis=address)
            cases["redis"] = measure(on_redis, options.views, options.lookups)
    every = cases["sqlite"]["all_rows"]
    result = {
        "reference": "Feast's materialize",
        "ratio": every["feast_seconds"] / every["seconds"],
        "ours": every["seconds"],
        "theirs": every["feast_seconds"],
        "unit": f"seconds for all rows of {options.users} users, SQLite",
        "views": options.views,
        "build_seconds": build_seconds,
        "snapshot_rows": rows,
        "cases": [{"store": store} | case for store, case in cases.items()],
    }
    report("materialize", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--lookups", type=int, default=2_000)
    parser.add_argument("--views", nargs="+", default=VIEWS, choices=list(KEY_OF))
    main(parser.parse_args())
