"""Bring the videos of today into every kept release, without a new model.

**What.** New and changed videos of the newest snapshot get vectors by the item encoder of each kept bundle
and are upserted into its collection; what is offline or gone is deleted and shown to nobody. Serving follows
within seconds. A release without an item encoder that reads side features only learns attributes.

**Why it is safe.** Overlays lie beside the bundles, which never change, and every kept release has its own: a
rollback finds the same videos. A run writes only what differs; killed, the next one finishes.

**When it is red.** The log names the bundle; all other kept releases are renewed. Another publish was
running, or Milvus did not answer: clear the run. A bundle that is damaged, or whose collection stays wrong:
`facet publish` its bundles again.
"""

from airflow.sdk import Param, dag, get_current_context

from dags.assets import WATCHES
from dags.form import owner_links
from dags.tasks import step


@dag(
    schedule=[WATCHES],
    catchup=False,
    max_active_runs=1,
    params={"day": Param(None, type=["null", "string"], description="newest snapshot up to YYYY-MM-DD")},
    doc_md=__doc__,
    tags=["facet", "release"],
    owner_links=owner_links(),
)
def renew_catalogue() -> None:
    @step(retries=10)
    def renew() -> int:
        from serving.renewal import renew_catalogue as renew_videos

        renewal = renew_videos(get_current_context()["params"]["day"])
        return sum(done.num_upserted + done.num_deleted for done in renewal.bundles.values())

    renew()


renew_catalogue()
