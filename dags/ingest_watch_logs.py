"""Bring one UTC day of watch logs from landing into the curated tables.

**What.** `stage` types and deduplicates the landing files, `validate` checks the partitions before anyone
sees them, `commit` replaces them in the lake. Bad rows go to quarantine. Late events rewrite their own day.

**Why it is safe.** Every task rewrites its own partitions; running it again changes nothing. For a range of
days start it by hand with the param `days = A..B`, or use `airflow backfill create`. Files that land later
are the business of `ingest_late_files`.

**When it is red.** `stage`: the day has no landing files, or one cannot be read; the log names it. Repair
landing, clear the run. `validate`: the log shows the expectations that failed, example rows and the link to
Data Docs; the lake still holds the old rows. Repair the source or the limits, clear from `stage`.
`commit`: somebody else rewrote the same day; clear from `stage`.
"""

import pendulum
from airflow.sdk import CronDataIntervalTimetable, Param, dag

from dags.deadlines import INGEST, deadline
from dags.form import owner_links
from dags.ingest_tasks import commit, stage, validate


@dag(
    # Named timetable: a bare cron string has an empty data interval in Airflow 3.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2020, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    params={
        "days": Param(None, type=["null", "string"], description="YYYY-MM-DD or A..B instead of yesterday"),
    },
    deadline=deadline(INGEST),
    doc_md=__doc__,
    tags=["facet", "ingest"],
    owner_links=owner_links(),
)
def ingest_watch_logs() -> None:
    commit(validate(stage()))


ingest_watch_logs()
