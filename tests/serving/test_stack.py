"""The embedded stack starts, says what is wrong, and leaves no process behind, however it ends."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from features.errors import BadInputError, RetryLaterError
from features.settings import Settings
from features.store import FeatureStore
from serving.airflow import REPOSITORY, run_airflow, stack_environment
from serving.demo_airflow import DAGS, AirflowClient
from serving.settings import ServingSettings
from serving.stack import AIRFLOW, EVERYTHING, run_stack
from serving.stack_settings import StackSettings


def free_ports() -> tuple[StackSettings, ServingSettings]:
    """Five ports that nobody listens on."""
    probes = [socket.socket() for _ in range(5)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    airflow, mlflow, feast, api, milvus = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return (
        StackSettings(airflow_port=airflow, mlflow_port=mlflow, feast_port=feast),
        ServingSettings(port=api, milvus_uri=f"http://127.0.0.1:{milvus}"),
    )


def processes_of(home: Path) -> list[str]:
    """Command lines of all processes that run for ``home``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FACET_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until_gone(home: Path) -> list[str]:
    """What is left of ``home`` after at most 20 s."""
    end = time.monotonic() + 20
    while (left := processes_of(home)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    ports, serving = free_ports()
    with socket.create_server(("127.0.0.1", ports.airflow_port)):
        wanted = f"port {ports.airflow_port} for Airflow is taken.*FACET_AIRFLOW_PORT"
        stack = run_stack(Settings(home=tmp_path), AIRFLOW, ports=ports, serving=serving)
        with pytest.raises(BadInputError, match=wanted), stack:
            pass


def test_tasks_reach_the_api_server_where_it_listens(tmp_path: Path) -> None:
    ports, serving = free_ports()
    found = stack_environment(Settings(home=tmp_path), ports, serving)
    url = f"http://127.0.0.1:{ports.airflow_port}"
    assert found["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{url}/execution/"
    assert found["AIRFLOW__API__PORT"] == str(ports.airflow_port)
    assert found["FACET_HOME"] == str(tmp_path)
    assert found["FACET_MILVUS_PORT"] == serving.milvus_uri.rsplit(":", 1)[1]


def test_serving_of_the_stack_does_not_start_the_milvus_that_the_stack_starts() -> None:
    lines = dict(
        line.split(": ", 1) for line in (REPOSITORY / "docker" / "Procfile").read_text().splitlines()
    )
    assert "milvus-lite server" in lines["milvus"]
    assert "facet serve --no-milvus" in lines["serving"]


def test_secrets_of_a_home_are_made_once_and_only_its_owner_reads_them(tmp_path: Path) -> None:
    first, again, other = (
        stack_environment(Settings(home=tmp_path / home), *free_ports()) for home in ("a", "a", "b")
    )
    for name in ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__CORE__FERNET_KEY"):
        assert first[name] == again[name]
        assert first[name] != other[name]
    assert stat.S_IMODE((tmp_path / "a" / "airflow" / "secrets.json").stat().st_mode) == 0o600


def test_the_procfile_runs_what_the_stack_knows_on_loopback_only() -> None:
    lines = (REPOSITORY / "docker" / "Procfile").read_text().splitlines()
    commands = dict(line.split(": ", 1) for line in lines)
    assert set(commands) == set(EVERYTHING)
    for name, command in commands.items():
        assert f'>> "$FACET_LOGS/{name}.log" 2>&1' in command
        assert "--port" not in command or "--host 127.0.0.1" in command


@pytest.mark.server
def test_a_process_that_ends_takes_the_stack_along_and_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "milvus").write_text("a file where Milvus wants its folder")
    ports, serving = free_ports()
    stack = run_stack(Settings(home=tmp_path), ["milvus"], ports=ports, serving=serving)
    with pytest.raises(RetryLaterError, match=r"(?s)milvus ended.*milvus\.log:.*FileExistsError"), stack:
        pass
    assert wait_until_gone(tmp_path) == []


@pytest.mark.server
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda end: end.name)
def test_no_process_survives_the_program_that_started_the_stack(tmp_path: Path, end: signal.Signals) -> None:
    _, serving = free_ports()
    program = f"""
import signal
import time
from pathlib import Path
from features.settings import Settings
from serving.settings import ServingSettings
from serving.stack import run_stack
signal.signal(signal.SIGINT, signal.default_int_handler)  # programs started by a shell's & ignore it
serving = ServingSettings(milvus_uri="{serving.milvus_uri}")
with run_stack(Settings(home=Path("{tmp_path}")), ["milvus"], serving=serving):
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert any(line.strip() == "ready" for line in started.stdout)
        assert any("milvus-lite" in command for command in processes_of(tmp_path))
        os.kill(started.pid, end)
        started.communicate(timeout=30)
    assert wait_until_gone(tmp_path) == []


@pytest.mark.server
@pytest.mark.slow
def test_everything_beside_airflow_starts_and_is_well(settings: Settings) -> None:
    ports, serving = free_ports()
    FeatureStore(settings).apply()  # what Feast's user interface waits for
    others = tuple(name for name in EVERYTHING if name not in AIRFLOW)
    with run_stack(settings, others, ports=ports, serving=serving) as stack:
        assert stack.endpoints.keys() == set(others)
        assert all(endpoint.is_ready() for endpoint in stack.endpoints.values())
        assert not [command for command in processes_of(settings.root) if "huey" in command]


@pytest.mark.server
@pytest.mark.slow
def test_airflow_parses_every_dag_and_ends_with_all_its_workers(tmp_path: Path) -> None:
    ports, serving = free_ports()
    others = set(psutil.Process().children(recursive=True))  # the Milvus server of other tests
    with run_stack(Settings(home=tmp_path), AIRFLOW, ports=ports, serving=serving) as stack:
        client = AirflowClient(stack.endpoints["api-server"].url)
        client.wait_for_dags(DAGS, timeout_seconds=60.0)
        assert client.import_errors() == []
        assert "No data found" in run_airflow(["dags", "list-import-errors"], stack.environment)
        running = set(psutil.Process().children(recursive=True)) - others
        titles = [" ".join(process.cmdline()) for process in running]
        assert len([title for title in titles if "LocalExecutor" in title]) == 4, titles
    left = [process for process in running if process.is_running()]
    assert [process.cmdline() for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    logs = sorted(path.stem for path in (tmp_path / "logs").iterdir())
    assert logs == ["api-server", "dag-processor", "scheduler", "stack"]
