"""Does a kill at any moment change what the data plane writes?

    python -m benchmarks.kill_matrix [KILLS] [AIRFLOW_KILLS]     (default 20 and 2)

First part: the body of each task runs as a process of its own and is killed (SIGKILL) at KILLS random moments
of its undisturbed duration, each time on a fresh copy of the state before it; then it runs again, as Airflow
would have it. Second part: a real Airflow with a heartbeat timeout of 15 s runs the DAGs; the task's process
and, in other runs, its supervisor are killed AIRFLOW_KILLS times each, and Airflow retries. A task whose
supervisor died goes on unwatched beside its own retry.

Every time the curated tables, stages, feature snapshots and online rows are compared, by checksums, with
those of an undisturbed run. Writes FACET_HOME/bench/kill_matrix.json.
"""

import logging
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog

from benchmarks.kill_airflow import kill_in_airflow
from benchmarks.kill_state import fingerprint, is_equal
from benchmarks.report import report
from features.ingest import commit, stage
from features.materialize import materialize
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from features.validation import validate

LAST_DAY: Final = "2026-03-04"
NUM_DAYS: Final = 3
PRELOADED: Final = ["great_expectations", "features.ingest", "features.validation", "features.store"]


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of the kills of one task."""

    task: str
    how: str
    kills: int
    """Kills that hit; a process that had ended before is not counted."""
    equal: int
    """After how many of them the state was that of an undisturbed run, once the task had run again."""
    seconds: float
    """Undisturbed duration of the task's body, or mean duration of a disturbed run in Airflow."""


def main(num_kills: int, num_airflow: int) -> int:
    """Print the table; 1 if a kill changed anything."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="facet-kills-") as folder:
        rows = kill_bodies(Path(folder) / "bodies", num_kills)
        if num_airflow:
            rows += [Killed(**row) for row in kill_in_airflow(Path(folder) / "airflow", num_airflow)]
    print(f"{'task':14}{'what is killed':34}{'kills':>6}{'equal':>7}{'seconds':>9}")  # noqa: T201
    for row in rows:
        print(f"{row.task:14}{row.how:34}{row.kills:6}{row.equal:7}{row.seconds:9.1f}")  # noqa: T201
    report("kill_matrix", {"cases": [asdict(row) for row in rows]}, shown=False)
    return int(any(row.equal < row.kills for row in rows))


def kill_bodies(root: Path, num_kills: int, *, users: int = 300, seed: int = 7) -> list[Killed]:
    """Kill each task's body at random moments; late events make days meet in one partition."""
    config = SimulationConfig(
        num_users=users, num_videos=600, num_uploaders=60, num_days=NUM_DAYS, last_day=LAST_DAY, dirt=0.02
    )
    before = Settings(home=root / "before")
    simulate(config, before)
    chance, processes = random.Random(seed), multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)
    victims = Victims(processes, chance, root)
    # An earlier ingest of the first day: partitions are rewritten, not only made.
    victims.run(ingest_first, before, config.days)
    return [
        victims.kill(task, before, config.days, num_kills)
        for task in (_stage, _validate, _commit, _materialize)
    ]


class Victims:
    """Starts bodies as processes, kills them, and compares what is left."""

    def __init__(
        self, processes: multiprocessing.context.ForkServerContext, chance: random.Random, root: Path
    ) -> None:
        self._processes = processes
        self._chance = chance
        self._root = root

    def kill(
        self, body: Callable[[Path, list[str]], None], before: Settings, days: list[str], num_kills: int
    ) -> Killed:
        """Kill ``body`` ``num_kills`` times, each on a copy of ``before``; ``before`` is then behind it."""
        undisturbed = self._copy(before, "undisturbed")
        self.run(body, undisturbed, days)  # the first loads what the forkserver has not
        shutil.rmtree(undisturbed.home)
        undisturbed = self._copy(before, "undisturbed")
        seconds = self.run(body, undisturbed, days)
        wanted = fingerprint(undisturbed)
        kills = equal = 0
        while kills < num_kills:
            victim = self._copy(before, "victim")
            process = self._start(body, victim, days)
            process.join(self._chance.uniform(0, seconds))
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                kills += 1
                self.run(body, victim, days)
                equal += is_equal(fingerprint(victim), wanted, body.__name__)
            shutil.rmtree(victim.home)
        shutil.rmtree(before.home)
        undisturbed.home.rename(before.home)
        return Killed(body.__name__.strip("_"), "process of the body", kills, equal, seconds)

    def run(self, body: Callable[[Path, list[str]], None], settings: Settings, days: list[str]) -> float:
        """Seconds that an undisturbed run takes."""
        started = time.monotonic()
        process = self._start(body, settings, days)
        process.join()
        assert process.exitcode == 0, f"{body.__name__} ended with {process.exitcode}"
        return time.monotonic() - started

    def _start(
        self, body: Callable[[Path, list[str]], None], settings: Settings, days: list[str]
    ) -> multiprocessing.process.BaseProcess:
        process = self._processes.Process(target=body, args=(settings.home, days))
        process.start()
        return process

    def _copy(self, before: Settings, name: str) -> Settings:
        copy = Settings(home=self._root / name)
        shutil.copytree(before.home, copy.home)
        return copy


def ingest_first(home: Path, days: list[str]) -> None:
    """The first day alone, with its features."""
    settings = Settings(home=home)
    commit(validate(stage(days[:1], settings=settings), settings=settings), settings=settings)
    materialize(days[:1], settings=settings)


def _stage(home: Path, days: list[str]) -> None:
    stage(days, settings=Settings(home=home))


def _validate(home: Path, days: list[str]) -> None:
    validate(_folder(home, days), settings=Settings(home=home))


def _commit(home: Path, days: list[str]) -> None:
    from features.serial_commit import commit_in_turn

    commit_in_turn(_folder(home, days), settings=Settings(home=home))


def _materialize(home: Path, days: list[str]) -> None:
    materialize(days, settings=Settings(home=home))


def _folder(home: Path, days: list[str]) -> str:
    return str(Settings(home=home).staging / f"{days[0]}..{days[-1]}")


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]] + [20, 2][len(sys.argv) - 1 :]
    sys.exit(main(*numbers))
