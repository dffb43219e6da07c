"""What every task shares: retries, errors that Airflow understands, and the rules for days.

Days come from an operator's param, else from all asset events that started the run, else from the interval.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from airflow.sdk import Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from dags.assets import FEATURES, days_in, extras_of_run
from features.days import day_of, parse_days
from features.errors import BadInputError, PermanentError

UNFINISHED = ["queued", "running"]


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
        return days_in(extras_of_run(asset))
    if context.get("data_interval_start") is None:
        raise BadInputError("a run without a data interval needs the days param: YYYY-MM-DD or A..B")
    return [day_of(context["data_interval_start"])]


def bundles_of_run(asset: Asset) -> list[str]:
    """Bundle paths from the ``bundles`` param, else from the event with the newest day."""
    if asked := get_current_context()["params"]["bundles"]:
        return list(asked)
    return list(max(extras_of_run(asset), key=lambda extra: extra["day"])["bundles"])


def newest_or_skip(day: str, newest: str | None) -> str:
    """``day`` to train on, unless a newer one or more data are on their way: then the run ends, green.

    The features of what is on its way start the DAG again.
    """
    context = get_current_context()
    if context["params"]["day"]:
        return day
    if newest is not None and newest > day:
        raise AirflowSkipException(f"{newest} is committed already; its own run trains")
    # The runs that started this one may not be marked done yet; asked first, so that none is missed.
    run = context["ti"].get_dagrun_state
    sources = {event.source_run_id for event in context["triggering_asset_events"][FEATURES]}
    closing = sum(run("materialize_features", source) in UNFINISHED for source in sources)
    expectations = {"ingest_watch_logs": 0, "ingest_late_files": 0, "materialize_features": closing}
    for dag_id, expected in expectations.items():
        waiting = context["ti"].get_dr_count(dag_id, states=UNFINISHED) - expected
        if waiting > 0:
            raise AirflowSkipException(f"{waiting} runs of {dag_id} are not done; the last one starts this")
    return day
