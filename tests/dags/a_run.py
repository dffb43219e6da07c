"""What Airflow tells a task about its run, for tests of single functions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.context import set_current_context

from dags.assets import BUNDLES, FEATURES, WATCHES


@dataclass(frozen=True)
class Runs:
    """Stands where Airflow gives a task its own instance: it knows the runs that are not done."""

    unfinished: Mapping[str, Sequence[str]]

    def get_dr_count(self, dag_id: str, states: list[str]) -> int:
        assert states == ["queued", "running"]
        return len(self.unfinished.get(dag_id, ()))


@contextmanager
def a_run(
    params: Mapping[str, Any] | None = None,
    events: Mapping[Any, list[dict[str, Any]]] | None = None,
    interval_start: datetime | None = None,
    unfinished: Mapping[str, Sequence[str]] | None = None,
    run_id: str = "this",
) -> Iterator[dict[str, Any]]:
    """The context of a task's run while the block lasts."""
    found = {
        asset: [SimpleNamespace(extra=extra, source_run_id="source") for extra in extras]
        for asset, extras in ({FEATURES: [{}]} | dict(events or {})).items()
    }
    outlets = {asset: SimpleNamespace(extra={}) for asset in (WATCHES, FEATURES, BUNDLES)}
    context: Any = {
        "params": {"day": None, "days": None, "models": None, "bundles": [], **(params or {})},
        "triggering_asset_events": found,
        "data_interval_start": interval_start,
        "outlet_events": outlets,
        "run_id": run_id,
        "ti": Runs(unfinished or {}),
    }
    with set_current_context(context):
        yield context
