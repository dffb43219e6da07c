"""Training examples per second of Facet's loop against those of torch-rechub and RecBole, on the same data.

    python -m benchmarks.train_step [--num-users 20000] [--num-videos 100000] [--seconds 10]

D=64, L=50, K=4, 256 shared negatives, one thread. An example is a pair of a prefix and its target in the
loss. Every loop runs in a process of its own, one after the other; peers in environments of their own
(``benchmarks/peers/``). Writes FACET_HOME/bench/train_step.json; its ratio is ComiRec-SA against RecBole.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.peers.environment import run_peer
from benchmarks.report import report
from features.vocabulary import Vocabulary
from training.activation import ActivationRecord
from training.config import InterestConfig
from training.dataset import Sequences
from training.examples import NextItem
from training.group import Group
from training.items import Items
from training.models.comirec import ComirecConfig, SelfAttentionNetwork
from training.models.sasrec import SasrecConfig, SasrecNetwork
from training.models.single_activation import SingleActivationConfig, SingleActivationNetwork
from training.network import InterestNetwork
from training.optimizer import Optimizer, schedule
from training.sampling import NegativeSampler
from training.step import Steps

SHAPE: Final = {"dim": 64, "history_length": 50, "num_negatives": 256, "objective": "next_item"}
PEERS: Final[dict[str, dict[str, str]]] = {
    "recbole comirec": {},
    "rechub comirec": {},
    "recbole sasrec": {"model": "sasrec"},
}
BATCHES: Final = (256, 1024)
"""Examples per step of the peers; the faster one counts."""
WARM_UP: Final = 20
"""Steps before the clock starts."""


def invent(path: Path, num_users: int, num_videos: int, seed: int = 7) -> None:
    """Sequences of 20 to 200 watches with Zipf popularity; every watch is a positive."""
    random = np.random.default_rng(seed)
    lengths = random.integers(20, 201, num_users)
    rows = np.minimum(random.zipf(1.2, lengths.sum()), num_videos).astype(np.int64)
    spread = random.integers(1, num_videos + 1, lengths.sum())
    rows = np.where(random.random(lengths.sum()) < 0.5, rows, spread)
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    np.savez(path, offsets=offsets, video_rows=rows, num_rows=np.array(num_videos + 1))


def network_of(name: str, num_rows: int) -> tuple[InterestNetwork, InterestConfig]:
    """The network and its configuration at the shapes of the benchmark."""
    if name == "sasrec":
        sasrec = SasrecConfig.model_validate(SHAPE)
        return SasrecNetwork(num_rows, sasrec), sasrec
    if name == "single_activation":
        single = SingleActivationConfig.model_validate(SHAPE)
        return SingleActivationNetwork(Items(num_rows, {}), single), single
    comirec = ComirecConfig.model_validate(SHAPE)
    return SelfAttentionNetwork(num_rows, comirec), comirec


def ours(name: str, path: Path, seconds: float) -> dict[str, Any]:
    """Time Facet's loop on one network in this process."""
    torch.set_num_threads(1)
    with np.load(path) as file:
        offsets, rows, num_rows = file["offsets"], file["video_rows"], int(file["num_rows"])
    num_users = len(offsets) - 1
    network, config = network_of(name, num_rows)
    times = np.arange(len(rows), dtype=np.int64) * 60_000_000
    sequences = Sequences(np.arange(num_users), offsets, rows, np.ones(len(rows), dtype=np.int64), times)
    examples = NextItem(sequences, Vocabulary(np.arange(1, num_rows)), config)
    sampler = NegativeSampler(torch.bincount(torch.from_numpy(rows), minlength=num_rows), 256, 0.5)
    record = ActivationRecord(np.arange(num_users), config.num_interests, 2.0)
    optimizer = Optimizer(network, config, schedule(config, 1.0, 1_000_000))
    steps = Steps(network, sampler, config, optimizer, record, Group())
    num_examples, num_steps, started = 0, 0, 0.0
    random = np.random.default_rng(0)
    endless = itertools.chain.from_iterable(examples.epoch(random) for _ in itertools.count())
    for place, batch in enumerate(endless):
        if place == WARM_UP:
            started = time.perf_counter()
        steps.take(batch)
        if place >= WARM_UP:
            num_examples, num_steps = num_examples + len(batch.target_rows), num_steps + 1
            if time.perf_counter() - started > seconds:
                break
    return {
        "examples_per_second": num_examples / (time.perf_counter() - started),
        "steps": num_steps,
        "examples": num_examples,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "users_per_step": config.batch_size,
    }


def in_own_process(name: str, path: Path, seconds: float) -> dict[str, Any]:
    """``ours`` where no other network has left its memory."""
    command = [sys.executable, __file__, "--ours", name, "--sequences", str(path), "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Time every loop and print one line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-users", type=int, default=20_000)
    parser.add_argument("--num-videos", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--ours")
    parser.add_argument("--sequences", type=Path)
    asked = parser.parse_args()
    if asked.ours:
        sys.stdout.write(json.dumps(ours(asked.ours, asked.sequences, asked.seconds)) + "\n")
        return
    with tempfile.TemporaryDirectory(prefix="facet-bench-") as folder:
        path = Path(folder) / "sequences.npz"
        invent(path, asked.num_users, asked.num_videos)
        found = {
            f"facet {name}": in_own_process(name, path, asked.seconds)
            for name in ("comirec", "single_activation", "sasrec")
        }
        for name, options in PEERS.items():
            runs = [
                run_peer(name.split()[0], path, batch=batch, seconds=asked.seconds, **options)
                for batch in BATCHES
            ]
            found[name] = max(runs, key=lambda result: result["examples_per_second"])
    speed = {name: result["examples_per_second"] for name, result in found.items()}
    for name, result in found.items():
        sys.stdout.write(f"{name:<26} {result['examples_per_second']:>10,.0f} examples/s\n")
    pairs = [
        ("facet comirec", "recbole comirec"),
        ("facet comirec", "rechub comirec"),
        ("facet single_activation", "recbole comirec"),
        ("facet single_activation", "rechub comirec"),
        ("facet sasrec", "recbole sasrec"),
    ]
    for left, right in pairs:
        sys.stdout.write(f"{left} / {right}: {speed[left] / speed[right]:.1f}\n")
    result = {
        "reference": "RecBole's training loop with ComiRec-SA, anomaly mode off",
        "ratio": speed["facet comirec"] / speed["recbole comirec"],
        "ours": speed["facet comirec"],
        "theirs": speed["recbole comirec"],
        "unit": "examples per second",
        "cases": [{"name": name} | facts for name, facts in found.items()],
    }
    report("train_step", result, shown=False)


if __name__ == "__main__":
    main()
