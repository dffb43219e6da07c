"""Publish the bundles that passed the gate as the release that serves.

**What.** For every bundle with vectors a new Milvus collection is built beside the old ones, filled and
verified; bundles are registered in the feature store; then the release pointer flips in one step. Serving
follows within seconds. The last three releases stay for a rollback. A channel without a new bundle keeps the
one that serves. `FACET_MERGE` says how the channels are merged; unset, the merge stays as it is.

**Why it is safe.** Killed anywhere, the old release serves and the next try finishes the new one.

**When it is red.** The log names the step and what did not hold. Nothing has flipped: clear the run. Weights
that do not fit the channels: mend `FACET_MERGE`. If a release turns out bad after the flip, `facet rollback`.
To publish certain bundles start it by hand with the param `bundles`.
"""

from airflow.sdk import Param, dag

from dags.assets import BUNDLES
from dags.form import owner_links
from dags.tasks import bundles_of_run, step


@dag(
    schedule=[BUNDLES],
    catchup=False,
    max_active_runs=1,
    params={"bundles": Param([], type="array", description="paths of bundles, not the newest that passed")},
    doc_md=__doc__,
    tags=["facet", "release"],
    owner_links=owner_links(),
)
def publish_release() -> None:
    @step(lineage="published")
    def publish() -> str:
        from serving.publish import publish_release as publish_bundles

        return publish_bundles(bundles_of_run(BUNDLES))

    publish()


publish_release()
