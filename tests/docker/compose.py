"""docker/compose.yaml as YAML reads it, with merges resolved."""

from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DOCKER: Final = ROOT / "docker"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = {"facet-airflow:0.1.0", "facet-serving:0.1.0"}


def environment_of(name: str) -> dict[str, str]:
    """The environment of a service: what its file says, then its own variables."""
    service = SERVICES[name]
    found: dict[str, str] = {}
    if "env_file" in service:
        lines = (DOCKER / service["env_file"]).read_text().splitlines()
        found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return found | service.get("environment", {})
