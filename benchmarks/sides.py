"""Two sides of a benchmark, each in a process of its own, and the report that compares them."""

import json
import multiprocessing
import platform
import resource
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from features.settings import Settings


def in_own_process(work: Callable[..., dict[str, float]], *args: Any) -> dict[str, float]:  # noqa: ANN401
    """What ``work`` measured, and ``peak_megabytes`` of the process that ran it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(work, args, theirs))
    process.start()
    theirs.close()
    found: dict[str, float] = ours.recv()
    process.join()
    return found


def report(name: str, **figures: Any) -> None:  # noqa: ANN401
    """Print and write FACET_HOME/bench/<name>.json."""
    text = json.dumps({"name": name, **figures, "machine": platform.platform()}, indent=1) + "\n"
    place = Settings().root / "bench" / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    sys.stdout.write(text)


def _measure(work: Callable[..., dict[str, float]], args: tuple[Any, ...], answer: Connection) -> None:
    facts = work(*args)
    answer.send(facts | {"peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
