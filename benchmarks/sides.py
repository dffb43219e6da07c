"""Two sides of a benchmark, each in a process of its own."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


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


def _measure(work: Callable[..., dict[str, float]], args: tuple[Any, ...], answer: Connection) -> None:
    facts = work(*args)
    answer.send(facts | {"peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
