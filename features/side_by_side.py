"""The same work on several things at once, by threads: DuckDB, Arrow and Delta work outside of Python."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

R = TypeVar("R")
WORKERS: Final = min(4, os.cpu_count() or 1)


def side_by_side(work: Callable[..., R], calls: Iterable[tuple[Any, ...]]) -> list[R]:
    """Results in the order of ``calls``, each the arguments of one call; the first error is raised."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda call: work(*call), calls))
