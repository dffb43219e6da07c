"""Every command and health check of docker/compose.yaml that this machine has the programs for, run for once.

Airflow with Celery, MLflow and serving run from what their images copy; PostgreSQL, Redis and nginx
are Debian's, Milvus is the one of ``make milvus``. The lines of docker/Procfile are tried
by tests/serving/test_stack.py.
"""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from serving.dag_runs import AirflowApi
from serving.standalone import free_ports, standalone_milvus
from tests.docker.collector import collecting
from tests.docker.compose import DOCKER, ROOT, SERVICES
from tests.docker.host import HEALTH_SECONDS, Host
from tests.docker.test_prometheus import wait_until_ok
from tests.postgresql import running_postgresql

AT_ONCE = ("api-server", "scheduler", "dag-processor", "triggerer", "mlflow", "serving-a")
TRIED = {*AT_ONCE, "initialize", "redis", "worker"}
SAME_AS_ANOTHER = {"serving-b": "serving-a"}
OTHERS = {"alertmanager", "grafana", "milvus", "postgresql", "prometheus", "proxy"}
"""Foreign images with commands of their own; docs/operating.md says what of them was tried."""
DAG = "clean_up"
"""It needs neither logs nor a release."""

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """All services of our images, started in the order of the compose file, and well."""
    subprocess.run(["bash", DOCKER / "install-celery.sh"], check=True)
    folder = tmp_path_factory.mktemp("compose")
    with ExitStack() as stack:
        postgresql = int(re.findall(r":(\d+)/", stack.enter_context(running_postgresql()))[0])
        create_databases(postgresql)
        milvus = stack.enter_context(standalone_milvus(folder / "milvus"))
        servers = {"postgresql:5432": postgresql, "milvus:19530": milvus.port}
        found = Host(folder, servers, stack.enter_context(collecting()))
        stack.callback(found.stop)
        found.start("redis")
        found.wait_until_healthy("redis")
        found.run("initialize")
        for name in AT_ONCE:
            found.start(name)
        found.wait_until_healthy("api-server")
        found.start("worker")
        for name in (*AT_ONCE, "worker"):
            found.wait_until_healthy(name)
        yield found


def create_databases(port: int) -> None:
    """What the image of PostgreSQL does with the file that is mounted into it, and the health check."""
    here = ["--host=127.0.0.1", f"--port={port}", "--username=facet"]
    script = DOCKER / "postgresql" / "databases.sql"
    subprocess.run(["psql", *here, "--quiet", "--dbname=facet", f"--file={script}"], check=True)
    kind, *check = SERVICES["postgresql"]["healthcheck"]["test"]
    assert kind == "CMD"
    subprocess.run([*check, *here[:2]], check=True)


def test_every_service_is_tried_or_named() -> None:
    assert SERVICES.keys() == TRIED | SAME_AS_ANOTHER.keys() | OTHERS
    for one, other in SAME_AS_ANOTHER.items():
        assert SERVICES[one] == SERVICES[other]


@pytest.fixture(scope="module")
def airflow_url(host: Host) -> str:
    """Where Airflow is, after one run of ``DAG``."""
    url = f"http://127.0.0.1:{host.ports['api-server']}"
    password = json.loads(host.secret("airflow_passwords"))["operator"]
    with httpx.Client(base_url=url, timeout=HEALTH_SECONDS) as airflow:
        assert airflow.get("/auth/token").status_code == 403
        login = {"username": "operator", "password": password}
        token = airflow.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        airflow.headers["Authorization"] = f"Bearer {token}"
        airflow.patch(f"/api/v2/dags/{DAG}", json={"is_paused": False}).raise_for_status()
        assert airflow.get("/api/v2/importErrors").json()["import_errors"] == []
        assert newest_state(airflow) == "success"
    return url


@pytest.mark.usefixtures("airflow_url")
def test_a_task_goes_through_scheduler_redis_worker_and_api(host: Host) -> None:
    assert (
        f"Executing workload in Celery: dag_rel_path=PurePosixPath('{DAG}.py')"
        in host.log("worker").read_text()
    )


def test_the_operations_page_shows_the_run(host: Host, airflow_url: str) -> None:
    page, link = f"http://127.0.0.1:{host.ports['serving-a']}/ops", f"{airflow_url}/dags/{DAG}/runs/"
    with httpx.Client(auth=("", host.secret("facet_admin_key")), timeout=HEALTH_SECONDS) as http:
        # Airflow has less than a second, a busy machine needs more.
        assert any(link in http.get(page).raise_for_status().text for _ in range(30)), http.get(page).text


def test_serving_logs_in_at_airflow_once_and_again_when_its_token_is_refused(
    host: Host, airflow_url: str
) -> None:
    password = SecretStr(host.secret("facet_airflow_password"))
    api = AirflowApi(airflow_url, airflow_url, "serving", password, HEALTH_SECONDS)
    assert [run.dag_id for run in asyncio.run(api.newest_runs()).runs] == [DAG]
    kept = api.token
    assert asyncio.run(api.newest_runs()).runs
    assert api.token is kept
    api.token = "signed.by.nobody"
    assert asyncio.run(api.newest_runs()).runs
    wrong = replace(api, password=SecretStr("wrong"), token=None)
    assert "does not let in serving" in (asyncio.run(wrong.newest_runs()).problem or "")
    nobody = replace(api, password=None, token=None)
    assert "wants a login" in (asyncio.run(nobody.newest_runs()).problem or "")


def newest_state(airflow: httpx.Client) -> str:
    """How the run that the scheduler starts for the last Sunday ends."""
    end = time.monotonic() + HEALTH_SECONDS
    while time.monotonic() < end:
        runs = airflow.get(f"/api/v2/dags/{DAG}/dagRuns").raise_for_status().json()["dag_runs"]
        if runs and runs[-1]["state"] in ("success", "failed"):
            return str(runs[-1]["state"])
        time.sleep(0.5)
    return "none in time"


def test_airflows_own_metrics_reach_a_collector(host: Host) -> None:
    """With the settings that docs/operating.md names."""
    wanted = {"airflow.scheduler_heartbeat", "airflow.triggerer_heartbeat"}
    end = time.monotonic() + HEALTH_SECONDS
    while not wanted <= host.collector.metrics and time.monotonic() < end:
        time.sleep(0.5)
    assert wanted <= host.collector.metrics, sorted(host.collector.metrics)


def test_the_proxy_passes_on_what_it_should_while_one_process_is_away(host: Host, tmp_path: Path) -> None:
    port, away = free_ports(2)
    config = (DOCKER / "nginx.conf").read_text()
    config = config.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{tmp_path}/")
    config = config.replace("serving-a:8000", f"127.0.0.1:{host.ports['serving-a']}")
    config = config.replace("serving-b:8000", f"127.0.0.1:{away}")
    config = config.replace(" resolve ", " ")  # Debian's nginx is older than the image's
    (tmp_path / "nginx.conf").write_text(f"daemon off;\n{config}")
    command = ["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", "stderr"]
    subprocess.run([*command, "-t"], check=True)
    with (tmp_path / "log").open("wb") as output:
        proxy = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ok(f"{url}/proxy-health", tmp_path / "log")
        assert {httpx.get(f"{url}/healthz").status_code for _ in range(10)} == {200}
        assert httpx.get(f"{url}/metrics").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{host.ports['serving-a']}/metrics").status_code == 200
        assert httpx.get(f"{url}/explore").status_code == 401  # FACET_PAGES is key
        assert httpx.get(f"{url}/healthz/").headers["location"] == f"{url}/healthz"
    finally:
        proxy.terminate()
        proxy.wait()


def test_what_was_not_run_is_said_by_name() -> None:
    operating = (ROOT / "docs" / "operating.md").read_text()
    not_run = operating[operating.index("Not run: ") :].split("\n\n")[0]
    assert all(f"`{name}`" in not_run for name in OTHERS)
