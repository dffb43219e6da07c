"""Flips and rollbacks under load: errors, mixed answers, and what a flip costs in latency.

    python -m benchmarks.flip [--seconds 60] [--clients 16] [--milvus real|lite]

Clients ask two ``facet serve`` processes without a pause. After a third of the time ``facet publish`` builds
another release and flips, after two thirds ``facet rollback`` goes back. ``is_mixed`` in ``two_releases.py``
looks at every answer from outside, and ``facet_release_mismatch_total`` of both processes from inside.

That both notice was proved by breaking the code, 4 clients for 15 s. ``serving/channels/opening.py`` searched
the alias ``videos_live`` in place of the release's collection, so that processes that had not followed a flip
yet searched the new release with the old interests: 136 mismatches, no answer mixed. With the call of
``require_agreement`` taken out of ``VectorSearch`` as well: no mismatch, 142 answers mixed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.report import report
from benchmarks.two_releases import (
    EVEN,
    ODD,
    ROOT,
    Seen,
    environment_of,
    load,
    metric,
    p,
    push_users,
    served,
    write_bundle,
)
from features.settings import Settings
from serving.embedded import milvus_server
from serving.publish import publish
from serving.settings import ServingSettings
from serving.standalone import free_ports, standalone_milvus

DURING_SECONDS: Final = 5.0
"""Processes look for another release every two seconds, open it and warm it."""


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--milvus", choices=["real", "lite"], default="real")
    parser.add_argument("--ports", type=int, nargs=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, milvus(options.milvus, Path(folder)) as uri:
        settings = Settings(home=Path(folder))
        even, odd = write_bundle(settings, EVEN), write_bundle(settings, ODD)
        push_users(settings)
        publish([even], settings=settings, serving_settings=ServingSettings(milvus_uri=uri))
        environment = {"FACET_MILVUS_URI": uri}

        def facet(*arguments: str) -> None:
            command = [sys.executable, "-m", "facet", *arguments]
            subprocess.run(command, cwd=ROOT, env=environment_of(settings, environment), check=True)

        changes = [lambda: facet("publish", str(odd)), lambda: facet("rollback")]
        with served(settings, environment, options.ports or free_ports(2)) as urls:
            found = flips_under_load(urls, changes, seconds=options.seconds, num_clients=options.clients)
    report("flip", found | {"milvus": options.milvus})
    sys.exit(0 if found["errors"] == found["mixed"] == found["mismatches"] == 0 else 1)


def flips_under_load(
    urls: Sequence[str], changes: Sequence[Callable[[], None]], *, seconds: float, num_clients: int
) -> dict[str, Any]:
    """What clients and processes saw while the live release changed, at equal distances in ``seconds``."""
    started, spans = time.monotonic(), []
    with load(urls, num_clients) as seen:
        for number, change in enumerate(changes, start=1):
            _sleep_until(started + seconds * number / (len(changes) + 1))
            began = time.monotonic() - started
            change()
            spans.append((began, time.monotonic() - started))
        _sleep_until(max(started + seconds, time.monotonic() + DURING_SECONDS))
    during = [one for one in seen if any(a <= one.at <= b + DURING_SECONDS for a, b in spans)]
    first, last = spans[0][0], spans[-1][1] + DURING_SECONDS
    return {
        "clients": num_clients,
        "requests": len(seen),
        "errors": sum(one.status != 200 for one in seen),
        "mixed": sum(one.is_mixed for one in seen),
        "mismatches": sum(metric(url, "facet_release_mismatch_total") for url in urls),
        "reasons": dict(Counter(one.reason for one in seen if one.reason)),
        "releases": {url: order_of(seen, url) for url in urls},
        "changes_seconds": [round(b - a, 2) for a, b in spans],
        "p50_ms": {"all": p(seen, 50)},
        "p99_ms": {
            "before": p([one for one in seen if one.at < first], 99),
            "during": p(during, 99),
            "after": p([one for one in seen if one.at > last], 99),
        },
    }


def order_of(seen: Sequence[Seen], url: str) -> list[str]:
    """Releases that a process answered from, one after the other, by the time of the answers' middle."""
    port = int(url.rsplit(":", 1)[1])
    own = [one for one in seen if one.port == port and one.status == 200]
    releases: list[str] = []
    for one in sorted(own, key=lambda each: each.at - each.seconds / 2):
        if not releases or releases[-1] != one.release:
            releases.append(one.release)
    return releases


@contextmanager
def milvus(kind: str, folder: Path) -> Iterator[str]:
    """Address of a Milvus of its own."""
    if kind == "real":
        with standalone_milvus(folder / "standalone") as server:
            yield server.uri
    else:
        [port] = free_ports(1)
        serving_settings = ServingSettings(milvus_uri=f"http://127.0.0.1:{port}")
        with milvus_server(serving_settings, Settings(home=folder / "lite")) as uri:
            yield uri


def _sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.monotonic(), 0))


if __name__ == "__main__":
    main()
