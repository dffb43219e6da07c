"""Compute the features of newly committed days and fill Feast, offline and online.

**What.** Day aggregates, histories, seen lists and profiles as of the end of each day; the online store then
holds the newest day. One run covers everything that is committed when it starts, days before included.

**Why it is safe.** A day's snapshot is rewritten as a whole; running it again gives the same rows.

**When it is red.** The log says which count or join did not hold. Clear the run. To compute a day again,
start it by hand with the param `day` (also `A..B`).
"""

from airflow.sdk import Param, dag

from dags.assets import FEATURES, WATCHES, announce
from dags.form import owner_links
from dags.newest import days_up_to
from dags.tasks import step


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
    tags=["facet", "features"],
    owner_links=owner_links(),
)
def materialize_features() -> None:
    @step(outlets=[FEATURES], lineage="materialized")
    def materialize() -> str:
        from features.freshness import newest_curated_day
        from features.materialize import materialize as materialize_days

        return announce(FEATURES, day=materialize_days(days_up_to(newest_curated_day(), WATCHES)))

    materialize()


materialize_features()
