"""Airflow as processes of one home: their environment, secrets, database, and one-off commands.

Nothing here imports Airflow; it is always another process.
"""

import json
import os
import secrets
import subprocess
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import version
from pathlib import Path
from typing import Final, NoReturn

import structlog
from honcho import environ

from features.errors import RetryLaterError
from features.settings import Settings
from serving.settings import ServingSettings
from serving.stack_settings import StackSettings

log = structlog.get_logger(__name__)

REPOSITORY: Final = Path(__file__).resolve().parents[1]
STATIC: Final = REPOSITORY / "docker" / "airflow.env"

LOCK_SECONDS: Final = 60
"""SQLite's own 5 s are too short for `airflow backfill create` beside a scheduler."""


def stack_environment(settings: Settings, ports: StackSettings, serving: ServingSettings) -> dict[str, str]:
    """Environment of every process of the stack: this process's, Airflow's settings, where things lie."""
    home = settings.root / "airflow"
    url = f"http://127.0.0.1:{ports.airflow_port}"
    lineage = settings.root / "lineage" / "events.jsonl"
    lineage.parent.mkdir(parents=True, exist_ok=True)
    transport = {"type": "file", "log_file_path": str(lineage), "append": True}
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "60",
        "FACET_SERVING_URL": f"http://127.0.0.1:{serving.port}",
        "FACET_MLFLOW_URL": f"http://127.0.0.1:{ports.mlflow_port}",
        **os.environ,
        **environ.parse(STATIC.read_text()),
        **_secrets(home),
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": str(REPOSITORY),
        "FACET_HOME": str(settings.root),
        "FACET_LOGS": str(settings.root / "logs"),
        "FACET_PORT": str(serving.port),
        "FACET_MILVUS_URI": serving.milvus_uri,
        "FACET_AIRFLOW_PORT": str(ports.airflow_port),
        "FACET_AIRFLOW_URL": url,
        "FACET_AIRFLOW_API_URL": url,
        "FACET_MLFLOW_PORT": str(ports.mlflow_port),
        "FACET_FEAST_PORT": str(ports.feast_port),
        "FACET_MILVUS_PORT": str(serving.milvus_port),
        "AIRFLOW_VAR_FACET_INGEST_DEADLINE_SECONDS": str(ports.ingest_deadline_seconds),
        "AIRFLOW_VAR_FACET_TRAIN_DEADLINE_SECONDS": str(ports.train_deadline_seconds),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "dags" / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout={LOCK_SECONDS}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__API__PORT": str(ports.airflow_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }


def migrate_airflow(settings: Settings, environment: dict[str, str]) -> None:
    """Create or upgrade Airflow's database; once per home and version of Airflow, it takes 5 s."""
    done = settings.root / "airflow" / f"migrated-{version('apache-airflow-core')}"
    if not done.exists():
        run_airflow(["db", "migrate"], environment)
        done.touch()


def run_airflow(arguments: list[str], environment: dict[str, str]) -> str:
    """What ``airflow ARGUMENTS`` prints.

    Raises:
        RetryLaterError: it failed; with what it wrote.
    """
    command = [sys.executable, "-m", "airflow", *arguments]
    done = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RetryLaterError(
            f"airflow {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def become_airflow(arguments: list[str], settings: Settings) -> NoReturn:
    """Replace this process by ``airflow ARGUMENTS`` in the environment of the home's stack."""
    environment = stack_environment(settings, StackSettings(), ServingSettings())
    migrate_airflow(settings, environment)
    os.chdir(REPOSITORY)
    os.execve(sys.executable, [sys.executable, "-m", "airflow", *arguments], environment)


def _secrets(home: Path) -> dict[str, str]:
    """Keys that all processes of a home share, made once; only its owner may read them."""
    path = home / "secrets.json"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        made = {
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        building = path.with_suffix(f".{os.getpid()}")
        building.touch(mode=0o600)
        building.write_text(json.dumps(made))
        building.replace(path)
    found: dict[str, str] = json.loads(path.read_text())
    return found
