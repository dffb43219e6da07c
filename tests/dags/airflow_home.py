"""A real Airflow on a small simulated home: what the slow tests of the DAGs share."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from features.days import add_days, day_of
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from serving.airflow import run_airflow
from serving.demo_airflow import AirflowClient, Json
from serving.stack import AIRFLOW, Stack, run_stack
from tests.serving.test_stack import free_ports

CHEAP: Final = {"FACET_MLFLOW_URI": "off", "OMP_NUM_THREADS": "1"}
UNFINISHED: Final = ("queued", "running")


def yesterday() -> str:
    """The newest day that the daily schedule ingests."""
    return add_days(day_of(datetime.now(UTC)), -1)


def simulate_days(settings: Settings, num_days: int, *, dirt: float = 0.02) -> list[str]:
    """Land so many days of a tiny app, late events among them; the last is yesterday."""
    config = SimulationConfig(
        num_users=150,
        num_videos=300,
        num_uploaders=40,
        num_days=num_days,
        last_day=yesterday(),
        dirt=dirt,
    )
    simulate(config, settings)
    return config.days


@dataclass(frozen=True)
class RunningAirflow:
    """Airflow's processes and its API."""

    stack: Stack
    client: AirflowClient

    def command(self, *arguments: str) -> str:
        """What ``airflow ARGUMENTS`` prints."""
        return run_airflow(list(arguments), self.stack.environment)

    def wait(self, is_done: Callable[[list[Json]], bool], seconds: float) -> list[Json]:
        """All runs, once ``is_done`` says so of them."""
        end = time.monotonic() + seconds
        while not is_done(runs := self.client.runs()):
            assert time.monotonic() < end, f"still waiting: {counts(runs)}"
            time.sleep(0.5)
        return runs


@contextmanager
def running_airflow(
    settings: Settings,
    dag_ids: Sequence[str],
    *,
    more: Mapping[str, str] = MappingProxyType({}),
    **settings_of_stack: int,
) -> Iterator[RunningAirflow]:
    """Airflow of a home, with ``dag_ids`` parsed and paused; more settings as in ``StackSettings``."""
    ports, serving = free_ports()
    ports = ports.model_copy(update=settings_of_stack)
    with run_stack(settings, AIRFLOW, ports=ports, serving=serving, more=CHEAP | dict(more)) as stack:
        client = AirflowClient(stack.endpoints["api-server"].url)
        client.wait_for_dags(dag_ids, timeout_seconds=180.0)
        yield RunningAirflow(stack, client)


def counts(runs: list[Json]) -> dict[tuple[str, str], int]:
    """Number of runs by DAG and state."""
    found: dict[tuple[str, str], int] = {}
    for run in runs:
        key = (run["dag_id"], run["state"])
        found[key] = found.get(key, 0) + 1
    return found
