"""The newest DAG runs, asked of Airflow's REST API; for people, so whoever is late is left out."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx

DEADLINE_SECONDS: Final = 0.8
"""For all of it; the page that shows them is there within a second."""
NUM_RUNS: Final = 100
"""Runs among which the newest of each DAG are looked for."""


@dataclass(frozen=True, slots=True)
class DagRun:
    """The newest run of one DAG."""

    dag_id: str
    run_id: str
    state: str
    """``queued``, ``running``, ``success`` or ``failed``."""
    started: datetime | None
    seconds: float | None
    """``None`` while it runs."""
    page: str
    """Address of the run in Airflow's UI."""


@dataclass(frozen=True, slots=True)
class DagRuns:
    """What Airflow said, or why it did not."""

    runs: tuple[DagRun, ...] = ()
    problem: str | None = None


async def newest_runs(url: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> DagRuns:
    """The newest run of every DAG, by name; never raises for what Airflow does."""
    try:
        # Loading certificates takes longer than Airflow; only https needs them.
        client = httpx.AsyncClient(base_url=url, verify=url.startswith("https:"))
        async with asyncio.timeout(deadline_seconds), client as http:
            token = (await http.get("/auth/token")).raise_for_status().json()["access_token"]
            answer = await http.get(
                "/api/v2/dags/~/dagRuns",
                params={"order_by": "-run_after", "limit": NUM_RUNS},
                headers={"Authorization": f"Bearer {token}"},
            )
            found = answer.raise_for_status().json()["dag_runs"]
            return DagRuns(_newest([_run(each, url) for each in found]))
    except TimeoutError:
        return DagRuns(problem=f"Airflow at {url} did not answer within {deadline_seconds} s")
    except httpx.HTTPStatusError as error:
        return DagRuns(problem=f"Airflow at {url} refuses to tell: status {error.response.status_code}")
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return DagRuns(problem=f"Airflow at {url} is not reachable ({type(error).__name__})")


def _newest(runs: list[DagRun]) -> tuple[DagRun, ...]:
    newest = dict[str, DagRun]()
    for run in runs:
        newest.setdefault(run.dag_id, run)
    return tuple(newest[name] for name in sorted(newest))


def _run(found: dict[str, Any], url: str) -> DagRun:
    started = datetime.fromisoformat(found["start_date"]) if found["start_date"] else None
    dag_id, run_id = found["dag_id"], found["dag_run_id"]
    page = f"{url.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
    return DagRun(dag_id, run_id, found["state"], started, found.get("duration"), page)
