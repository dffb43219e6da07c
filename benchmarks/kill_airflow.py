"""Kills of tasks that a real Airflow runs: their own process, or the supervisor that watches it."""

import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import structlog

from benchmarks.kill_state import fingerprint, is_equal
from features.days import add_days, day_of
from features.ingest import ingest
from features.materialize import materialize
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from serving.demo_airflow import AirflowClient, Json
from serving.settings import ServingSettings
from serving.stack import AIRFLOW, run_stack
from serving.stack_settings import StackSettings

log = structlog.get_logger(__name__)

IMPATIENT: Final = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
    "OMP_NUM_THREADS": "1",
}
TASKS: Final = {
    "stage": ("ingest_watch_logs", "days"),
    "validate": ("ingest_watch_logs", "days"),
    "commit": ("ingest_watch_logs", "days"),
    "materialize": ("materialize_features", "day"),
}
DELAY_SECONDS: Final = {"stage": 1.0, "validate": 3.0, "commit": 0.5, "materialize": 8.0}
"""Kills hit until so many seconds after the start of the task's process, which parses the DAG first."""
RUN_SECONDS: Final = 180.0
MAX_TRIES: Final = 5
"""Per kill; some come after the task has ended."""
WORKER: Final = "airflow worker -- "


def kill_in_airflow(root: Path, num_kills: int, *, seed: int = 7) -> list[dict[str, Any]]:
    """Rows of the matrix: every task by every kind of kill, ``num_kills`` times each."""
    yesterday = add_days(day_of(datetime.now(UTC)), -1)
    config = SimulationConfig(
        num_users=300, num_videos=600, num_uploaders=60, num_days=3, last_day=yesterday, dirt=0.02
    )
    settings, undisturbed = (Settings(home=root / name) for name in ("home", "undisturbed"))
    for each in (settings, undisturbed):
        simulate(config, each)
        ingest(config.days, settings=each)
        materialize(config.days, settings=each)
    wanted = _data(undisturbed)
    chance = random.Random(seed)
    with _airflow(settings) as client:
        return [
            _kill(client, settings, wanted, task, how, num_kills, config.days, chance)
            for task in TASKS
            for how in ("process of the task", "supervisor of the task")
        ]


def _kill(
    client: AirflowClient,
    settings: Settings,
    wanted: dict[str, str],
    task_id: str,
    how: str,
    num_kills: int,
    days: list[str],
    chance: random.Random,
) -> dict[str, Any]:
    dag_id, param = TASKS[task_id]
    client.unpause(dag_id)  # late: while it is paused, ingests do not start it
    kills = equal = tries = 0
    seconds = []
    while kills < num_kills and tries < MAX_TRIES * num_kills:
        tries += 1
        started, run_id = time.monotonic(), f"{task_id}-{how.split()[0]}-{tries}"
        client.trigger(dag_id, run_id, datetime.now(UTC), {param: f"{days[0]}..{days[-1]}"})
        if _kill_once(client, run_id, task_id, how, chance.uniform(0, DELAY_SECONDS[task_id])):
            kills += 1
            equal += _wait(client, run_id) == "success" and is_equal(_data(settings), wanted, task_id)
            seconds.append(time.monotonic() - started)
        else:
            _wait(client, run_id)
    mean = sum(seconds) / max(len(seconds), 1)
    log.warning("row done", task=task_id, how=how, kills=kills, equal=equal, tries=tries)
    return {"task": task_id, "how": f"Airflow: {how}", "kills": kills, "equal": equal, "seconds": mean}


def _kill_once(client: AirflowClient, run_id: str, task_id: str, how: str, delay_seconds: float) -> bool:
    """Whether the task still ran, and was killed, ``delay_seconds`` after it had begun."""
    end = time.monotonic() + RUN_SECONDS
    while not (task := _running(client, run_id, task_id)):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    while not (process := _process_of(task)):
        if time.monotonic() > end or not _running(client, run_id, task_id):
            return False
    time.sleep(delay_seconds)
    try:
        if not process.is_running() or not _running(client, run_id, task_id):
            return False
        victim = process if how.startswith("process") else process.parent()
        os.kill(victim.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return True


def _process_of(task: Json) -> psutil.Process | None:
    """The process that runs the body, child of its supervisor; the provider of lineage forks it at times."""
    named = [process for process in _processes() if _title(process) == f"{WORKER}{task['id']}"]
    return min(named, key=lambda process: process.pid, default=None)


def _running(client: AirflowClient, run_id: str, task_id: str) -> Json | None:
    for task in client.tasks(TASKS[task_id][0], run_id):
        if (task["task_id"], task["state"]) == (task_id, "running"):
            return task
    return None


def _wait(client: AirflowClient, run_id: str) -> str:
    """The state that the run ends in; also waits for what its dead supervisors left running."""
    end = time.monotonic() + RUN_SECONDS
    while time.monotonic() < end:
        [state] = [run["state"] for run in client.runs() if run["dag_run_id"] == run_id]
        if state in ("success", "failed") and not _task_processes():
            return str(state)
        time.sleep(0.5)
    return "timeout"


def _data(settings: Settings) -> dict[str, str]:
    """Without stages: they are cleared by the next run."""
    return {name: value for name, value in fingerprint(settings).items() if not name.startswith("staging/")}


def _task_processes() -> list[psutil.Process]:
    """Those that run bodies, watched or not; the executor's own are called otherwise."""
    named = [(process, _title(process)) for process in _processes()]
    return [p for p, title in named if title.startswith(WORKER) and "LocalExecutor" not in title]


def _processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()  # a new title is padded with nothing
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def _airflow(settings: Settings) -> Iterator[AirflowClient]:
    probes = [socket.socket() for _ in range(5)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    airflow, mlflow, feast, api, milvus = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    ports = StackSettings(airflow_port=airflow, mlflow_port=mlflow, feast_port=feast)
    serving = ServingSettings(port=api, milvus_uri=f"http://127.0.0.1:{milvus}")
    with run_stack(settings, AIRFLOW, ports=ports, serving=serving, more=IMPATIENT) as stack:
        client = AirflowClient(stack.endpoints["api-server"].url)
        client.wait_for_dags(["ingest_watch_logs", "materialize_features"], timeout_seconds=90.0)
        client.unpause("ingest_watch_logs")
        yield client
