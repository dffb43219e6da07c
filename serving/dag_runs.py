"""The newest DAG runs, asked of Airflow's REST API; for people, so whoever is late is left out."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from serving.settings import ServingSettings

DEADLINE_SECONDS: Final = 0.8
"""For all of it; the page that shows them is there within a second."""
PAGE: Final = 100
"""DAGs or runs that Airflow tells of at once, at most."""
LOGIN: Final = "/auth/token"
REFUSED: Final = (401, 403)
"""Of a token: it is too old, or was signed with another key."""


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


@dataclass(slots=True)
class AirflowApi:
    """Airflow's REST API, with one login for many pages."""

    url: str
    """Where a browser finds Airflow: links lead there."""
    api_url: str
    """Where this process finds it."""
    user: str
    password: SecretStr | None = None
    """``None``: Airflow lets everybody in."""
    deadline_seconds: float = DEADLINE_SECONDS
    num_runs: int = PAGE
    """Asked for at once."""
    token: str | None = field(default=None, repr=False)
    """Of the last login. Airflow takes it for a day (``[api_auth] jwt_expiration_time``)."""

    @classmethod
    def of(cls, settings: ServingSettings) -> "AirflowApi | None":
        """As the settings say; ``None`` without ``FACET_AIRFLOW_URL``."""
        if (url := settings.airflow_url) is None:
            return None
        return cls(url, settings.airflow_api_url or url, settings.airflow_user, settings.airflow_password)

    async def newest_runs(self) -> DagRuns:
        """The newest run of every DAG, by name; never raises for what Airflow does."""
        try:
            # Loading certificates takes longer than Airflow; only https needs them.
            client = httpx.AsyncClient(base_url=self.api_url, verify=self.api_url.startswith("https:"))
            async with asyncio.timeout(self.deadline_seconds), client as http:
                newest = await self._newest(http)
                return DagRuns(tuple(_run(newest[name], self.url) for name in sorted(newest)))
        except TimeoutError:
            problem = f"did not answer within {self.deadline_seconds} s"
        except httpx.HTTPStatusError as error:
            problem = self._refusal(error.response)
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            problem = f"is not reachable ({type(error).__name__})"
        return DagRuns(problem=f"Airflow at {self.api_url} {problem}")

    async def _newest(self, http: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
        """By DAG: those that run often fill the first page, so the next one asks for what it lacks."""
        known = await self._ask(http, "GET", "/api/v2/dags", params={"limit": PAGE})
        missing = {each["dag_id"] for each in known["dags"]}
        newest: dict[str, dict[str, Any]] = {}
        while missing:
            wanted = {"dag_ids": sorted(missing), "order_by": "-run_after", "page_limit": self.num_runs}
            found = await self._ask(http, "POST", "/api/v2/dags/~/dagRuns/list", json=wanted)
            if not found["dag_runs"]:
                break
            for run in found["dag_runs"]:
                newest.setdefault(run["dag_id"], run)
            missing -= newest.keys()
        return newest

    async def _ask(self, http: httpx.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - of httpx
        answer = await self._send(http, method, path, **options) if self.token else None
        if answer is None or answer.status_code in REFUSED:
            await self._log_in(http)
            answer = await self._send(http, method, path, **options)
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    async def _send(self, http: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
        return await http.request(method, path, headers={"Authorization": f"Bearer {self.token}"}, **options)

    async def _log_in(self, http: httpx.AsyncClient) -> None:
        if self.password is None:
            answer = await http.get(LOGIN)
        else:
            login = {"username": self.user, "password": self.password.get_secret_value()}
            answer = await http.post(LOGIN, json=login)
        self.token = answer.raise_for_status().json()["access_token"]

    def _refusal(self, answer: httpx.Response) -> str:
        if answer.status_code in REFUSED and answer.url.path.endswith(LOGIN):
            if self.password is None:
                return f"wants a login: set FACET_AIRFLOW_PASSWORD, the password of its user {self.user}"
            return f"does not let in {self.user}: look at FACET_AIRFLOW_USER and FACET_AIRFLOW_PASSWORD"
        return f"refuses to tell: status {answer.status_code}"


def _run(found: dict[str, Any], url: str) -> DagRun:
    started = datetime.fromisoformat(found["start_date"]) if found["start_date"] else None
    dag_id, run_id = found["dag_id"], found["dag_run_id"]
    page = f"{url.rstrip('/')}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
    return DagRun(dag_id, run_id, found["state"], started, found.get("duration"), page)
