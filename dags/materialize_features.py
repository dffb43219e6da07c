"""Compute the features of newly committed days and fill Feast, offline and online.

**What.** Day aggregates, histories, seen lists and profiles as of the end of each day; the online store then
holds the newest day. One run covers the days of all ingests that finished since the last run.

**Why it is safe.** A day's snapshot is rewritten as a whole; running it again gives the same rows.

**When it is red.** The log says which count or join did not hold. Clear the run. To compute a day again,
start it by hand with the param `day` (also `A..B`).
"""

from airflow.sdk import Param, dag

from dags.assets import FEATURES, WATCHES, announce
from dags.tasks import days_of_run, step


@dag(
    schedule=[WATCHES],
    catchup=False,
    max_active_runs=1,
    params={
        "day": Param(
            None, type=["null", "string"], description="YYYY-MM-DD or A..B instead of the events' days"
        ),
    },
    doc_md=__doc__,
    tags=["facet"],
)
def materialize_features() -> None:
    @step(outlets=[FEATURES])
    def materialize() -> str:
        from features import materialize as features

        day = features.materialize(days_of_run(WATCHES))
        return announce(FEATURES, day=features.newest_day() or day)

    materialize()


materialize_features()
