"""What the demo asks of Airflow's REST API: start runs, wait for them, show each change of state once."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import httpx
from rich.console import Console

from features.errors import PermanentError, RetryLaterError

DAGS: Final = ("ingest_watch_logs", "materialize_features", "train_models", "publish_release")
STATE_STYLES: Final = {"success": "green", "skipped": "yellow", "failed": "red", "up_for_retry": "red"}
LOG_TAIL_LENGTH: Final = 4000
"""Characters; the end of a log holds the error."""
POLL_SECONDS: Final = 0.5

Json = dict[str, Any]


class RunFailedError(PermanentError):
    """A DAG run of the demo ended red; the text holds the end of the task's log."""


class AirflowClient:
    """Runs and task instances of one Airflow on loopback, where everybody is an admin."""

    def __init__(self, url: str) -> None:
        token = httpx.get(f"{url}/auth/token", timeout=30).raise_for_status().json()["access_token"]
        self._http = httpx.Client(
            base_url=f"{url}/api/v2", timeout=30, headers={"Authorization": f"Bearer {token}"}
        )

    def wait_for_dags(self, dag_ids: Sequence[str], *, timeout_seconds: float) -> None:
        """Return when the dag-processor has parsed them all.

        Raises:
            RetryLaterError: one is missing after ``timeout_seconds``.
        """
        end = time.monotonic() + timeout_seconds
        waiting = list(dag_ids)
        while waiting := [name for name in waiting if self._http.get(f"/dags/{name}").is_error]:
            if time.monotonic() > end:
                raise RetryLaterError(f"Airflow does not know {', '.join(waiting)}: {self.import_errors()}")
            time.sleep(POLL_SECONDS)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler start runs of a DAG."""
        self._ask("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, run_after: datetime, conf: Json) -> None:
        """Queue a run by hand. Of waiting runs the one with the earliest ``run_after`` starts first."""
        body = {"dag_run_id": run_id, "logical_date": None, "run_after": run_after.isoformat(), "conf": conf}
        self._ask("POST", f"/dags/{dag_id}/dagRuns", json=body)

    def runs(self) -> list[Json]:
        """All runs of all DAGs, oldest first."""
        return self._ask("GET", "/dags/~/dagRuns", params={"order_by": "id", "limit": 100})["dag_runs"]

    def tasks(self, dag_id: str = "~", run_id: str = "~") -> list[Json]:
        """All task instances of one run, or of all runs."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return self._ask("GET", path, params={"limit": 100})["task_instances"]

    def import_errors(self) -> list[Json]:
        """DAG files that cannot be parsed."""
        return self._ask("GET", "/importErrors")["import_errors"]

    def log_tail(self, task: Json) -> str:
        """The newest lines of a task's log."""
        path = f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        query = {"map_index": task["map_index"]}
        found = self._ask("GET", f"{path}/logs/{task['try_number']}", params=query)
        lines = [_log_line(entry) for entry in found["content"]]
        return "\n".join(line for line in lines if not line.startswith("::"))[-LOG_TAIL_LENGTH:]

    def _ask(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401 - httpx's own options
        answer = self._http.request(method, path, **options)
        if answer.is_error:
            raise RetryLaterError(f"Airflow answers {method} {path} with {answer.status_code}: {answer.text}")
        found: Json = answer.json()
        return found


class Progress:
    """One line per step and per finished task, with the time since the demo began."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()
        self._shown: set[tuple[str, int, str]] = set()

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """One line in the words of the demo."""
        self.console.print(f"{self.elapsed:7.1f} s  [bold]{text}[/]")

    def follow(self, client: AirflowClient, is_done: Callable[[list[Json]], bool], title: str) -> None:
        """Show tasks as they finish, until ``is_done`` says so of all runs.

        Raises:
            RunFailedError: a run failed.
        """
        with self.console.status(title) as status:
            while True:
                runs, tasks = client.runs(), client.tasks()
                for task in sorted(tasks, key=lambda task: task["end_date"] or ""):
                    self._show(task)
                _require_none_failed(client, runs, tasks)
                if is_done(runs):
                    return
                names = [f"{_name(task)} {_age(task):.0f} s" for task in tasks if task["state"] == "running"]
                status.update(f"{title}: {', '.join(names) or 'scheduling'}")
                time.sleep(POLL_SECONDS)

    def _show(self, task: Json) -> None:
        state = task["state"]
        key = (task["id"], task["try_number"], state)
        if state not in STATE_STYLES or key in self._shown:
            return
        self._shown.add(key)
        seconds = f"{task['duration'] or 0:6.1f} s"
        self.console.print(
            f"{self.elapsed:7.1f} s    {_name(task):44} [{STATE_STYLES[state]}]{state:8}[/] {seconds}"
        )


def _require_none_failed(client: AirflowClient, runs: list[Json], tasks: list[Json]) -> None:
    for run in runs:
        if run["state"] == "failed":
            own = [task for task in tasks if _run_of(task) == _run_of(run)]
            failed = [task for task in own if task["state"] == "failed"]
            logs = "\n\n".join(f"{_name(task)}:\n{client.log_tail(task)}" for task in failed)
            raise RunFailedError(f"{run['dag_id']} {run['dag_run_id']} failed\n{logs}")


def _run_of(item: Json) -> tuple[str, str]:
    return item["dag_id"], item["dag_run_id"]


def _name(task: Json) -> str:
    mapped = f" \\[{task['rendered_map_index'] or task['map_index']}]" if task["map_index"] >= 0 else ""
    return f"{task['dag_id']}.{task['task_id']}{mapped}"


def _age(task: Json) -> float:
    begun = datetime.fromisoformat(task["start_date"])
    return (datetime.now(begun.tzinfo) - begun).total_seconds()


def _log_line(entry: Json | str) -> str:
    if isinstance(entry, str):
        return entry
    details = "".join(_exception_lines(detail) for detail in entry.get("error_detail") or [])
    return f"{entry['event']}{details}"


def _exception_lines(detail: Json) -> str:
    return f"\n  {detail.get('exc_type')}: {detail.get('exc_value')}"
