"""What every task shares: retries, errors that Airflow understands, and the rules for days.

Days come from an operator's param, else from all asset events that started the run, else from the interval.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from airflow.sdk import Asset, get_current_context
from airflow.sdk.bases.decorator import task_decorator_factory
from airflow.sdk.exceptions import AirflowFailException

from dags.assets import days_in, extras_of_run
from dags.form import OWNER, StepOperator, task_doc
from dags.lineage import noted
from features.days import day_of, parse_days
from features.errors import BadInputError, PermanentError

UNFINISHED = ["queued", "running"]
"""States of runs that others wait for."""


def step(*, lineage: str | None = None, **options: Any) -> Callable[..., Any]:  # noqa: ANN401 - Airflow's
    """A task that is retried after a minute, unless its error says that time does not heal it.

    Args:
        lineage: which of ``features/lineage.py`` knows from the task's result what was read and written, and
            ``features/summaries.py`` what stands in the table at the end of its log.
    """

    def decorate(body: Callable[..., Any]) -> Any:  # noqa: ANN401
        @wraps(body)
        def translated(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            from features.disk import FullDiskExplained

            try:
                with FullDiskExplained():
                    return noted(lineage, body(*args, **kwargs))
            except PermanentError as error:
                raise AirflowFailException(str(error)) from error

        form = {"retries": 2, "owner": OWNER, "doc_md": task_doc(body)}
        return task_decorator_factory(decorated_operator_class=StepOperator, **form | options)(translated)

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
