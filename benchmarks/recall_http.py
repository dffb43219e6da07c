"""``POST /v1/recall`` against one bare Milvus search for the same interests, from the same client processes.

    make bench NAME=recall_http
    python -m benchmarks.recall_http --videos 1000000 --redis

Bare is ``search`` of pymilvus by the name of the collection: the interests of the user after pruning, and the
limit, filter, output field and ``ef`` that serving uses. Both against the real Milvus of ``make milvus`` over
invented videos (``large_release.py``), users in turn. CPU seconds are those of the processes of client,
Milvus and serving. Client processes import this file, so what is heavy is imported inside.
"""

import argparse
import http.client
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil

from benchmarks.report import report
from features.bundle import open_bundle
from features.filters import NO_FILTERS
from features.merge_config import INTERESTS, MergeConfig
from features.release import current_release, open_registry
from features.schema import VECTOR, VIDEO_ID
from features.settings import Settings
from serving.collection import filter_expression, index_parameters, search_parameters
from serving.interests import InterestExtractor
from serving.publish import publish
from serving.settings import ServingSettings
from serving.standalone import StandaloneMilvus, free_ports, standalone_milvus

TOP_N: Final = 200
CHANNEL_ALONE: Final = MergeConfig(weights={INTERESTS: 1.0, "cooc": 0.0})
ALL_CHANNELS: Final = MergeConfig(weights={INTERESTS: 0.6, "cooc": 0.4})
WARM_SHARE: Final = 0.1
"""Of the time of a case, before anything is measured."""


@dataclass(frozen=True, slots=True)
class Query:
    """What serving asks the index for one user."""

    vectors: np.ndarray
    expression: str


@dataclass(frozen=True, slots=True)
class Client:
    """What one client process saw after its warm-up."""

    seconds: list[float]
    cpu_seconds: float
    elapsed: float
    num_partial: int
    """Answers that lacked candidates or a channel, which was late."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked."""

    uri: str
    collection: str
    num_videos: int
    queries: list[Query]


def ask_bare(target: Target, seconds: float, number: int) -> Client:
    """One client process with its own connection to Milvus."""
    from pymilvus import MilvusClient

    client = MilvusClient(target.uri)

    def ask(place: int) -> bool:
        query = target.queries[place % len(target.queries)]
        client.search(
            target.collection,
            data=query.vectors,
            limit=TOP_N,
            anns_field=VECTOR,
            filter=query.expression,
            output_fields=[VIDEO_ID],
            search_params=search_parameters(index_parameters(target.num_videos)["index_type"], TOP_N),
            consistency_level="Bounded",
        )
        return True

    return _client(ask, seconds, number)


def ask_recall(ports: list[int], num_users: int, seconds: float, number: int) -> Client:
    """One client process with its own connection to one of the serving processes."""
    connection = http.client.HTTPConnection("127.0.0.1", ports[number % len(ports)], timeout=30)

    def ask(place: int) -> bool:
        body = json.dumps({"user_id": place % num_users, "top_n": TOP_N})
        connection.request("POST", "/v1/recall", body, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return not answer["reason"] and len(answer["candidates"]) == TOP_N

    return _client(ask, seconds, number)


def _client(ask: Callable[[int], bool], seconds: float, number: int) -> Client:
    place, warm_until = 97 * number, time.monotonic() + WARM_SHARE * seconds
    while time.monotonic() < warm_until:
        ask(place)
        place += 1
    found, num_partial, cpu, started = [], 0, time.process_time(), time.monotonic()
    while (began := time.monotonic()) - started < seconds:
        num_partial += not ask(place)
        place += 1
        found.append(time.monotonic() - began)
    return Client(found, time.process_time() - cpu, time.monotonic() - started, num_partial)


def measure(
    ask: Callable[[float, int], Client], num_clients: int, seconds: float, servers: dict[str, list[int]]
) -> dict[str, Any]:
    """Latency, throughput and CPU of one case.

    Args:
        servers: process ids by name, children included.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_clients, mp_context=context) as pool:
        list(pool.map(time.sleep, [0.2] * num_clients))  # all are up before the clock starts
        before = {name: _cpu_of(pids) for name, pids in servers.items()}
        clients = list(pool.map(partial(ask, seconds), range(num_clients)))
        cpu = {name: _cpu_of(pids) - before[name] for name, pids in servers.items()}
    latencies = np.concatenate([client.seconds for client in clients]) * 1e3
    # Servers also worked for the warm-up.
    asked = len(latencies) * (1 + WARM_SHARE)
    return {
        "clients": num_clients,
        "requests": len(latencies),
        "partial": sum(client.num_partial for client in clients),
        "p50_ms": round(float(np.percentile(latencies, 50)), 2),
        "p99_ms": round(float(np.percentile(latencies, 99)), 2),
        "per_second": round(len(latencies) / max(client.elapsed for client in clients), 1),
        "cpu_ms": {
            "client": round(sum(client.cpu_seconds for client in clients) / len(latencies) * 1e3, 2),
            **{name: round(used / asked * 1e3, 2) for name, used in cpu.items()},
        },
    }


def queries_of(settings: Settings, num_users: int) -> list[Query]:
    """The searches that recall makes for these users."""
    from features.store import FeatureStore

    release = current_release(open_registry(settings))
    assert release is not None, "published"
    extractor = InterestExtractor(open_bundle(release.bundle_path(settings, INTERESTS)))
    store = FeatureStore(settings)
    queries = []
    for user_id in range(num_users):
        user = store.lookup(user_id)
        assert user is not None, "written"
        interests = extractor.extract(user_id, user.history, user.feature_time or datetime.now(UTC))
        assert interests is not None, "known"
        expression = filter_expression(NO_FILTERS, user.seen)
        queries.append(Query(interests.vectors[interests.is_searched], expression))
    return queries


def stage_shares(urls: list[str]) -> Callable[[], dict[str, float]]:
    """From now on: how the time of the answers divides into stages."""
    before = _stage_seconds(urls)

    def shares() -> dict[str, float]:
        spent = {stage: seconds - before[stage] for stage, seconds in _stage_seconds(urls).items()}
        return {name: round(each / spent["total"], 3) for name, each in spent.items() if name != "total"}

    return shares


def _stage_seconds(urls: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for url in urls:
        for line in httpx.get(f"{url}/metrics", timeout=10).text.splitlines():
            if line.startswith("facet_latency_seconds_sum"):
                stage = line.split('"')[1]
                found[stage] = found.get(stage, 0.0) + float(line.rsplit(" ", 1)[1])
    return found


def _cpu_of(pids: list[int]) -> float:
    roots = [psutil.Process(pid) for pid in pids]
    processes = [each for root in roots for each in (root, *root.children(recursive=True))]
    return sum(times.user + times.system for times in (each.cpu_times() for each in processes))


def _pid_at(port: int) -> int:
    found = {each.pid for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port}
    [pid] = {pid for pid in found if pid and psutil.Process(pid).cmdline()[-1] == "serve"}
    return pid


@contextmanager
def large_home(
    folder: Path, num_videos: int, num_users: int, redis: str | None = None
) -> Iterator[tuple[Settings, list[Path]]]:
    """A home and the paths of its bundles."""
    from benchmarks.large_release import LargeRelease

    settings = Settings(home=folder / "home", redis=redis)
    large = LargeRelease(settings, num_videos)
    bundles = [large.write_interests(), large.write_popular(), large.write_neighbours()]
    large.write_users(num_users)
    yield settings, bundles


def cases_of(
    settings: Settings, bundles: list[Path], milvus: StandaloneMilvus, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Publish and serve each merge; one case for every number of clients."""
    from benchmarks.two_releases import served

    ports = free_ports(options.processes)
    for merge in (CHANNEL_ALONE, ALL_CHANNELS):
        publish(
            bundles, settings=settings, merge=merge, serving_settings=ServingSettings(milvus_uri=milvus.uri)
        )
        environment = {"FACET_MILVUS_URI": milvus.uri}
        environment |= {"FACET_REDIS": settings.redis} if settings.redis else {}
        with served(settings, environment, ports) as urls:
            release = current_release(open_registry(settings))
            assert release is not None, "published"
            queries = queries_of(settings, options.users)
            target = Target(milvus.uri, release.collections[INTERESTS], options.videos, queries)
            servers = {"milvus": [milvus.pid], "serving": [_pid_at(port) for port in ports]}
            for clients in options.clients:
                bare = measure(partial(ask_bare, target), clients, options.seconds, servers)
                shares = stage_shares(urls)
                recall = partial(ask_recall, ports, options.users)
                ours = measure(recall, clients, options.seconds, servers) | {"shares": shares()}
                searches = float(np.mean([len(query.vectors) for query in queries]))
                yield {
                    "channels": list(merge.asked(merge.weights)),
                    "searches_per_request": searches,
                    "recall": ours,
                    "bare": bare,
                }


def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    from benchmarks.feature_stores import online_store

    cases: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as name,
        standalone_milvus(Path(name) / "milvus") as milvus,
        online_store(options.redis) as redis,
        large_home(Path(name), options.videos, options.users, redis) as (settings, bundles),
    ):
        for case in cases_of(settings, bundles, milvus, options):
            sys.stdout.write(f"{json.dumps(case)}\n")
            sys.stdout.flush()
            cases.append(case)
    first = cases[0]
    bare_cpu = first["bare"]["cpu_ms"]
    result = {
        "reference": "one pymilvus search of the same interests",
        "ratio": first["recall"]["p50_ms"] / first["bare"]["p50_ms"],
        "cpu_ratio": first["recall"]["cpu_ms"]["serving"] / (bare_cpu["client"] + bare_cpu["milvus"]),
        "ours": first["recall"]["p50_ms"],
        "theirs": first["bare"]["p50_ms"],
        "unit": f"p50 ms of {TOP_N} candidates of {options.videos} videos, 64-d, one client",
        "processes": options.processes,
        "store": "redis" if options.redis else "sqlite",
        "cases": cases,
    }
    report("recall_http", result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=1, help="of serving; clients are spread over them")
    parser.add_argument("--redis", action="store_true", help="features in Redis instead of SQLite")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    main(parser.parse_args())
