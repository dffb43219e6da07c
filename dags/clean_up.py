"""Delete what nobody needs any more: table versions that no bundle names, and what killed runs left behind.

**What.** Every Sunday: data files of curated versions older than a week, unless a bundle was trained on them;
stages and training checkpoints that were not touched for a week.

**Why it is safe.** The newest version of a table always stays, and what runs now is younger than a week.

**When it is red.** The log names the file that could not be deleted. Mend its permissions, clear the run.
"""

import pendulum
from airflow.sdk import CronDataIntervalTimetable, dag

from dags.form import owner_links
from dags.tasks import step


@dag(
    schedule=CronDataIntervalTimetable("0 4 * * 0", timezone="UTC"),
    start_date=pendulum.datetime(2020, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["facet", "upkeep"],
    owner_links=owner_links(),
)
def clean_up() -> None:
    @step()
    def clean() -> None:
        from features.housekeeping import clean as run

        run()

    clean()


clean_up()
