"""Assets that connect the DAGs, and what their events carry. An asset changes only after the last check."""

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Asset, get_current_context

from features.errors import BadInputError

WATCHES = Asset(name="watches", uri="facet://lake/watches")
"""Extra: ``days`` that were committed (sorted) and ``day``, the newest of them."""
FEATURES = Asset(name="features", uri="facet://feast/recall")
"""Extra: ``day``, the newest day that the run was about."""
BUNDLES = Asset(name="bundles", uri="facet://bundles")
"""Extra: ``bundles``, the paths of all that passed the gate, and the ``day`` they were judged on."""


def announce(asset: Asset, *, day: str, **extra: Any) -> str:  # noqa: ANN401 - JSON
    """Let the event of ``asset``, emitted when the task succeeds, carry ``day``; give ``day`` back."""
    get_current_context()["outlet_events"][asset].extra = {"day": day, **extra}
    return day


def extras_of_run(asset: Asset) -> list[Mapping[str, Any]]:
    """What the events of ``asset`` say that started this run."""
    return [event.extra for event in get_current_context()["triggering_asset_events"][asset]]


def days_in(extras: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every day that the events name, once, sorted; at least one is named."""
    days = sorted({day for extra in extras for day in extra.get("days", [extra.get("day")]) if day})
    if not days:
        raise BadInputError("no event names a day; run the DAG by hand with its day param")
    return days
