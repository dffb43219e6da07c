"""What every task shares: retries, errors that Airflow understands, and the rules for days.

Days come from an operator's param, else from all asset events that started the run, else from the interval.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import wraps
from typing import Any

from airflow.sdk import Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from features.days import day_of, parse_days
from features.errors import BadInputError, PermanentError


def step(**options: Any) -> Callable[[Callable[..., Any]], Any]:  # noqa: ANN401 - Airflow's types
    """A task that is retried, unless its error says that time does not heal it."""

    def decorate(body: Callable[..., Any]) -> Any:  # noqa: ANN401
        @wraps(body)
        def translated(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            try:
                return body(*args, **kwargs)
            except PermanentError as error:
                raise AirflowFailException(str(error)) from error

        return task(retries=2, retry_delay=timedelta(minutes=1), **options)(translated)

    return decorate


def days_of_run(asset: Asset | None = None) -> list[str]:
    """The days that this run is about, sorted; ``asset`` is what the DAG waits for."""
    context = get_current_context()
    if asked := context["params"].get("days") or context["params"].get("day"):
        return parse_days(asked)
    if asset is not None:
        return days_in(_extras(asset))
    if context.get("data_interval_start") is None:
        raise BadInputError("a run without a data interval needs the days param: YYYY-MM-DD or A..B")
    return [day_of(context["data_interval_start"])]


def days_in(extras: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every day that the events name, once, sorted; at least one is named."""
    days = sorted({day for extra in extras for day in extra.get("days", [extra.get("day")]) if day})
    if not days:
        raise BadInputError("no event names a day; run the DAG by hand with its day param")
    return days


def bundles_of_run(asset: Asset) -> list[str]:
    """Bundle paths from the ``bundles`` param, else from the event with the newest day."""
    if asked := get_current_context()["params"]["bundles"]:
        return list(asked)
    return list(max(_extras(asset), key=lambda extra: extra["day"])["bundles"])


def newest_or_skip(day: str, newest: str | None) -> str:
    """``day`` to train on, unless a newer one is there or on its way: then the run ends here, green."""
    context = get_current_context()
    if context["params"]["day"]:
        return day
    if newest is not None and newest > day:
        raise AirflowSkipException(f"{newest} is committed already; its own run trains")
    if waiting := context["ti"].get_dr_count(dag_id="ingest_watch_logs", states=["queued", "running"]):
        raise AirflowSkipException(f"{waiting} ingest runs are not done; the newest day of theirs trains")
    return day


def announce(asset: Asset, *, day: str, **extra: Any) -> str:  # noqa: ANN401 - JSON
    """Let the event of ``asset``, emitted when the task succeeds, carry ``day``; give ``day`` back."""
    get_current_context()["outlet_events"][asset].extra = {"day": day, **extra}
    return day


def _extras(asset: Asset) -> list[Mapping[str, Any]]:
    return [event.extra for event in get_current_context()["triggering_asset_events"][asset]]
