"""What the peers' loops share: their arguments, the watches they train on, and the clock in their loader.

Runs inside a peer's environment, so it knows nothing of Facet. The loop stays the peer's own:
``TimedBatches`` stands where the peer expects its loader, passes its batches on, and ends the epoch when the
time is up.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

WARMUP_STEPS = 10
"""The first steps fill Adam's moments and the allocator's pools."""


def parser() -> argparse.ArgumentParser:
    """The arguments that every peer takes."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sequences", type=Path, required=True, help="offsets, video_rows, num_rows")
    arguments.add_argument("--dim", type=int, default=64)
    arguments.add_argument("--length", type=int, default=50, help="watches in a history")
    arguments.add_argument("--interests", type=int, default=4)
    arguments.add_argument("--negatives", type=int, default=256)
    arguments.add_argument("--batch", type=int, required=True, help="examples in a step")
    arguments.add_argument("--seconds", type=float, default=20.0, help="timed after the warm-up, at least")
    arguments.add_argument(
        "--max-examples",
        type=int,
        default=100_000,
        help="whole users are drawn up to this number; the item table keeps all its rows",
    )
    return arguments


def read_watches(sequences: Path, max_examples: int) -> tuple[pd.DataFrame, int]:
    """A frame of watches (``user_id``, ``item_id``, ``timestamp``: place in the user's log) and ``num_rows``.

    Args:
        sequences: an npz with ``offsets`` (U + 1), ``video_rows`` (W), oldest first and from 1, and
            ``num_rows``, which counts the padding row 0.
        max_examples: users are drawn at random (seed 0) until they hold this many watches that have a
            history. A peer prepares all its examples ahead, in time and memory that grow with their number;
            the speed of a step does not depend on it.

    Raises:
        ValueError: a row outside the table.
    """
    with np.load(sequences) as arrays:
        offsets, rows, num_rows = arrays["offsets"], arrays["video_rows"], int(arrays["num_rows"])
    if len(rows) == 0 or rows.min() < 1 or rows.max() >= num_rows:
        raise ValueError(f"{sequences}: video_rows must lie in 1..num_rows-1 = {num_rows - 1}")
    lengths = np.diff(offsets)
    users = np.random.default_rng(0).permutation(np.flatnonzero(lengths > 1))
    examples_before = np.cumsum(lengths[users] - 1) - (lengths[users] - 1)
    users = np.sort(users[examples_before < max_examples])
    places = [np.arange(length) for length in lengths[users]]
    frame = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(1, len(users) + 1), lengths[users]),
            "item_id": np.concatenate([rows[offsets[user] : offsets[user + 1]] for user in users]),
            "timestamp": np.concatenate(places),
        }
    )
    return frame, num_rows


class TimedBatches:
    """A loader that counts the steps of the loop it feeds and stops it after ``seconds``.

    A step counts when the loop asks for the next batch: loading, loss, backward and update lie between two
    such moments, and so does the start of another epoch.
    """

    def __init__(self, loader: Iterable[Any], size: Callable[[Any], int], seconds: float) -> None:
        self._loader, self._size, self._seconds = loader, size, seconds
        self._warmup_left = WARMUP_STEPS
        self._start = 0.0
        self.steps = self.examples = 0
        self.elapsed = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the timed steps have filled their seconds."""
        return self.elapsed >= self._seconds

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            size = self._size(batch)
            yield batch
            self._count(size)
            if self.is_over:
                return

    def _count(self, size: int) -> None:
        now = time.perf_counter()
        if self._warmup_left:
            self._warmup_left -= 1
            self._start = now
            return
        self.steps += 1
        self.examples += size
        self.elapsed = now - self._start


def use_one_thread() -> None:
    """Hold torch to one thread, and make its draws repeatable."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(0)


def report(batches: TimedBatches, packages: list[str], **facts: str | float) -> None:
    """Print the result as one line of JSON, the last of standard output."""
    result = {
        "examples_per_second": batches.examples / batches.elapsed,
        "steps": batches.steps,
        "examples": batches.examples,
        "seconds": batches.elapsed,
        "peak_memory_mb": _peak_memory_mb(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in [*packages, "torch", "numpy"]},
        },
        **facts,
    }
    sys.stdout.flush()
    sys.stdout.write("\n" + json.dumps(result) + "\n")


def _peak_memory_mb() -> float:
    """Largest resident size of this process, MiB; ``getrusage`` would inherit the size of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
