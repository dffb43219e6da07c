"""Bring files that landed after their day was ingested, or were changed since, into the curated tables.

**What.** Every hour `find` compares the landing area with the manifests of the lake. Days with new or changed
files are staged, validated and committed as a whole; the features of these days and of all later ones follow
by themselves. Without such files the run is skipped. Days that were never ingested are left to
`ingest_watch_logs` and to backfills.

**Why it is safe.** The same tasks as in `ingest_watch_logs`: a day is replaced as a whole, and of two runs
that rewrite one day one is told to stage again.

**When it is red.** As in `ingest_watch_logs`; the log of `find` names the days.
"""

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag

from dags.deadlines import INGEST, deadline
from dags.form import owner_links
from dags.ingest_tasks import commit, found_or_skip, stage, validate
from dags.tasks import step


@dag(
    schedule=CronDataIntervalTimetable("30 * * * *", timezone="UTC"),
    start_date=pendulum.datetime(2020, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    deadline=deadline(INGEST),
    doc_md=__doc__,
    tags=["facet", "ingest"],
    owner_links=owner_links(),
)
def ingest_late_files() -> None:
    @step()
    def find() -> list[str]:
        from features.landing_manifest import late_days

        return found_or_skip(late_days())

    commit(validate(stage(find())))


ingest_late_files()
