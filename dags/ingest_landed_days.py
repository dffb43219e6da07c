"""Ingest a day as soon as its producer says that it is complete, without waiting for midnight.

**What.** A producer that has written all files of a day puts an empty file `.complete` beside them, into
`landing/watches/<day>/`. Every ten minutes `find` looks for such days that were never ingested; they are
staged, validated and committed as in `ingest_watch_logs`, whose own run for the day then changes nothing.

**Why a look by the clock.** Airflow's asset watchers take event triggers only; of its own, one waits for a
local file of a fixed name and deletes it. It knows no days, no object store and no markers, and wants one
more process (the triggerer), as deferrable sensors do. A look costs two seconds of one worker.

**When it is red.** As `ingest_watch_logs`; the log of `find` names the days.
"""

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag

from dags.deadlines import INGEST, deadline
from dags.form import owner_links
from dags.ingest_tasks import commit, found_or_skip, stage, validate
from dags.tasks import step


@dag(
    schedule=CronDataIntervalTimetable("5-55/10 * * * *", timezone="UTC"),
    start_date=pendulum.datetime(2020, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    deadline=deadline(INGEST),
    doc_md=__doc__,
    tags=["facet", "ingest"],
    owner_links=owner_links(),
)
def ingest_landed_days() -> None:
    @step()
    def find() -> list[str]:
        from features.landing_manifest import landed_days

        return found_or_skip(landed_days())

    commit(validate(stage(find())))


ingest_landed_days()
