"""Dashboards, alerts, the table of metrics and the runbook agree."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from serving.metrics import METRICS
from tests.docker.monitoring import PROMETHEUS, Query, alert_queries, alert_rules, panel_queries

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
SERIES = {
    *METRICS,
    *(
        f"{name}{suffix}"
        for name, spec in METRICS.items()
        if spec.kind.__name__ == "Histogram"
        for suffix in ("_bucket", "_sum", "_count")
    ),
}
QUERIES = [*panel_queries(), *alert_queries()]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_every_metric_that_is_asked_for_exists(query: Query) -> None:
    assert query.metrics or "up{" in query.expression
    assert query.metrics <= SERIES


def test_every_metric_is_looked_at_somewhere() -> None:
    used = {re.sub("_(bucket|sum|count)$", "", name) for query in QUERIES for name in query.metrics}
    assert set(METRICS) - used == set()


def test_every_alert_is_about_one_limit_and_has_a_section_of_the_runbook() -> None:
    headings = {line[4:].strip() for line in OPERATING.splitlines() if line.startswith("### ")}
    for rule in alert_rules():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
        assert rule["alert"] in headings
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


def test_every_alert_fires_in_a_test() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert {rule["alert"] for rule in alert_rules()} == fired


def test_every_metric_stands_in_the_operators_table() -> None:
    rows = [line for line in OPERATING.splitlines() if line.startswith("| `facet_")]
    assert {re.split("[`{]", row)[1] for row in rows} == set(METRICS)


@pytest.mark.server
@pytest.mark.parametrize(
    "arguments", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]]
)
def test_prometheus_takes_the_files_and_every_alert_fires(arguments: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
