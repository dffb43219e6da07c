"""What the files of Grafana and Prometheus ask for."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).parents[2] / "docker"
PROMETHEUS = DOCKER / "prometheus"
METRIC = re.compile(r"\bfacet_[a-z0-9_]+")
COMPARISON = re.compile(r" (?:==|!=|<=|>=|<|>) ")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and where it stands."""

    place: str
    expression: str

    @property
    def metrics(self) -> set[str]:
        """Names of the metrics that it reads."""
        return set(METRIC.findall(self.expression))


def panel_queries() -> list[Query]:
    """Every query of every panel."""
    return [
        Query(f"{path.stem}: {panel['title']} {target['refId']}", target["expr"])
        for path in sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


def alert_rules() -> list[dict[str, Any]]:
    """Every alert as it is written."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_queries() -> list[Query]:
    """What each alert compares with its limit."""
    return [Query(rule["alert"], COMPARISON.split(rule["expr"])[0]) for rule in alert_rules()]
