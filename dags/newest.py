"""Which days a run behind an asset is about, when many events come at once.

Airflow keeps one note per waiting consumer: a run is given the events up to the first that came since the run
before, and later ones of the same burst only with the next event after. So a run takes from its events that
there is something to do, and from the data what.
"""

from typing import TYPE_CHECKING

from airflow.sdk import Asset, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from dags.tasks import UNFINISHED, days_of_run
from features.days import parse_days
from features.errors import RetryLaterError

if TYPE_CHECKING:
    from features.freshness import FeatureState

LOOKS = ("ingest_late_files", "ingest_landed_days")
"""DAGs that look whether there is something to ingest, and mostly find nothing."""


def days_up_to(newest: str | None, asset: Asset) -> list[str]:
    """The days of the run, and ``newest``, the newest that is committed; only those an operator asked for."""
    days = days_of_run(asset)
    if get_current_context()["params"]["day"] or newest is None:
        return days
    return sorted({*days, newest})


def day_to_train(state: "FeatureState | None") -> str:
    """The day to judge on; the run is skipped, green, where another run will train or does.

    What is not in the features yet has an event under way, which starts the DAG again.

    Raises:
        RetryLaterError: files are looked for; without any, no event follows.
    """
    context = get_current_context()
    if asked := context["params"]["day"]:
        return parse_days(asked)[-1]
    if state is None or not state.is_complete:
        raise AirflowSkipException("more is committed than the features hold; its own run trains")
    if waiting := context["ti"].get_dr_count("ingest_watch_logs", states=UNFINISHED):
        raise AirflowSkipException(f"{waiting} runs of ingest_watch_logs are not done; the last starts this")
    for dag_id in LOOKS:
        if context["ti"].get_dr_count(dag_id, states=UNFINISHED):
            raise RetryLaterError(f"{dag_id} is running; this asks again in a minute")
    from training.claims import claim

    if (owner := claim(state, context["run_id"])) != context["run_id"]:
        raise AirflowSkipException(f"{owner} trains on these features of {state.day}")
    return state.day
