"""Make an earlier release live again, by hand, when the one that serves turns out bad.

**What.** Chooses the release, by default the one that the live one replaced, or the param `version`; then the
release pointer flips to it in one step. Serving follows within seconds. The operations page shows the
releases that are kept.

**Why it is safe.** Nothing is built: the collections of kept releases are there. The release is chosen once:
a task that was killed and runs again goes back no further. The next `publish_release` still publishes: pause
that DAG until the cause is found.

**When it is red.** The log names the releases that are kept: start the DAG again with one of them as the
param. If Milvus has lost a collection, `facet publish` the bundles of that release. Clearing `choose` chooses
anew, and so goes back one release further.
"""

from airflow.sdk import Param, dag, get_current_context

from dags.form import owner_links
from dags.tasks import step


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "version": Param(None, type=["null", "string"], description="else what the live release replaced")
    },
    doc_md=__doc__,
    tags=["facet", "release"],
    owner_links=owner_links(),
)
def roll_back() -> None:
    @step()
    def choose() -> str:
        from serving.publish import choose_rollback

        return choose_rollback(get_current_context()["params"]["version"])

    @step()
    def flip(version: str) -> str:
        from serving.publish import rollback

        return rollback(version)

    flip(choose())


roll_back()
