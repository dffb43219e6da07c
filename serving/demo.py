"""The demo: simulated watch logs go through the real stack, and three users see what was found of them.

    python -m serving.demo

Twenty days are ingested as one range while the other DAGs are paused; the last day comes through the daily
schedule, and its asset starts materialize, train and publish, once each. The model with one vector per user
trains beside them. Ends with 0, or with 1 and the log of the task that failed; no process is left.
"""

import json
import logging
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from rich.console import Console

from features.days import add_days, day_of, end_of, start_of
from features.errors import BadInputError, FacetError
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from serving.demo_airflow import DAGS, AirflowClient, Json, Progress
from serving.demo_command import FacetCommand
from serving.demo_report import Report
from serving.stack import CORE, Stack, run_stack
from serving.stack_settings import DemoSettings

DIRT: Final = 0.01
MARKER: Final = ".facet-demo"
DAILY_TRAINING: Final = {"FACET_TRAIN_SET": json.dumps({"single_activation": ["assignment=max_readout"]})}
"""Negatives are scored as retrieval scores them: where users have several interests, it finds them best."""
MIDNIGHT_MARGIN: Final = timedelta(minutes=10)
"""The daily schedule ingests yesterday: the day must not change while the demo runs."""


def main() -> int:
    """Run the demo and return its exit code."""
    demo = DemoSettings()
    progress = Progress(Console(width=None if sys.stdout.isatty() else 110, highlight=False))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        run(Settings(home=demo.home), progress)
    except FacetError as error:
        progress.console.print(f"\n{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    install = "" if demo.install_seconds is None else f"installation {demo.install_seconds:.0f} s, "
    progress.say(f"every process has ended: {install}demo {progress.elapsed:.0f} s")
    return 0


def run(settings: Settings, progress: Progress) -> None:
    """All steps; the stack is down again when it returns or raises."""
    make_home(settings)
    _wait_for_midnight(progress)
    config = SimulationConfig(last_day=add_days(day_of(datetime.now(UTC)), -1), dirt=DIRT)
    progress.say(f"simulating {config.num_days} days; starting Airflow, Milvus Lite and the API")
    with ExitStack() as ends:
        pool = ends.enter_context(ProcessPoolExecutor(max_workers=1))
        simulation = pool.submit(simulate, config, settings)
        stack = ends.enter_context(run_stack(settings, CORE, more=DAILY_TRAINING))
        found = simulation.result()
        progress.say(
            f"{config.num_users:,} users, {config.num_videos:,} videos, {found.num_events:,} watches"
            f" and {sum(found.dirt.values()):,} dirty rows lie in landing; the stack is up"
        )
        airflow = AirflowClient(stack.endpoints["api-server"].url)
        single = run_dags(stack, airflow, config, progress)
        ends.callback(single.stop)
        Report(settings, stack, config, progress.console).show(airflow, single)


def run_dags(
    stack: Stack, airflow: AirflowClient, config: SimulationConfig, progress: Progress
) -> FacetCommand:
    """Drive the four DAGs to a release; returns the training of the model with one vector."""
    first, *_, last_but_one, last = config.days
    span = f"{first}..{last_but_one}"
    airflow.wait_for_dags(DAGS, timeout_seconds=60.0)
    # The waiting run with the earliest ``run_after`` starts first: this one before the daily run of ``last``.
    airflow.trigger("ingest_watch_logs", f"range__{first}__{last_but_one}", start_of(last), {"days": span})
    airflow.unpause("ingest_watch_logs")
    progress.say(f"ingesting {span} as one range, the other DAGs paused")
    progress.follow(airflow, lambda runs: _num_done(runs, "ingest_watch_logs") == 1, "range")
    for dag_id in DAGS[1:]:
        airflow.unpause(dag_id)
    progress.say(f"the daily schedule brings {last}; its asset starts materialize, train and publish")
    progress.follow(airflow, lambda runs: _num_done(runs, "ingest_watch_logs") == 2, "daily")
    single = FacetCommand(
        ["train", "single_activation", "--until", last_but_one, "--set", "num_interests=1"],
        # One thread beside Airflow's training: more threads than cores wait for each other.
        stack.environment | {"FACET_TRAIN_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stack.logs / "train_one_vector.log",
    )
    progress.follow(airflow, lambda runs: _num_done(runs, "publish_release") == 1, "release")
    return single


def _num_done(runs: list[Json], dag_id: str) -> int:
    return sum(run["dag_id"] == dag_id and run["state"] == "success" for run in runs)


def make_home(settings: Settings) -> None:
    """An empty home; only what an earlier demo left is wiped.

    Raises:
        BadInputError: the folder holds something else.
    """
    root = settings.root
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).exists():
            raise BadInputError(f"{root} is no home of a demo; set FACET_HOME to an empty folder")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).touch()


def _wait_for_midnight(progress: Progress) -> None:
    now = datetime.now(UTC)
    left = end_of(day_of(now)) - now
    if left < MIDNIGHT_MARGIN:
        progress.say(f"waiting {left.seconds} s: the day changes at midnight UTC")
        time.sleep(left.total_seconds() + 1)


if __name__ == "__main__":
    sys.exit(main())
