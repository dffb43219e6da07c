"""Train every model once per newest complete day, and let the gate judge it on that day.

**What.** Each model is trained on all days before D and judged on D against the release that serves. Only
when all have passed are their bundles announced. Nothing is released here.

**Skipped, green.** The features lack something that is committed, or ingest runs are not done: the features
of the last of them start this DAG again. Or another run trains on the very same features. So a backfill of
many days trains once, when all its days are in; late events change the features, and train again.

**When it is red.** `train`: the gate refused the model, and the log says why (worse, collapsed, NaN); the old
release goes on serving. Look at the run in MLflow, then clear the task, or wait for the next day. To train on
a certain day, or if the ingest that it waited for failed, start it by hand with the param `day`.
"""

from airflow.sdk import Param, dag

from dags.assets import BUNDLES, FEATURES, announce
from dags.deadlines import TRAIN, deadline
from dags.newest import day_to_train
from dags.tasks import step

MODELS = ["popularity", "single_activation"]


@dag(
    schedule=[FEATURES],
    catchup=False,
    max_active_runs=1,
    params={"day": Param(None, type=["null", "string"], description="YYYY-MM-DD to judge on, newest or not")},
    deadline=deadline(TRAIN),
    doc_md=__doc__,
    tags=["facet"],
)
def train_models() -> None:
    @step(retries=60)
    def choose_day() -> str:
        from features.freshness import feature_state

        return day_to_train(feature_state())

    @step(lineage="trained", max_active_tis_per_dagrun=2, map_index_template="{{ task.op_kwargs['model'] }}")
    def train(model: str, day: str) -> str:
        from training.challenger import train_challenger

        return train_challenger(model, day)

    @step(outlets=[BUNDLES])
    def announce_bundles(bundles: list[str], day: str) -> str:
        return announce(BUNDLES, day=day, bundles=list(bundles))

    day = choose_day()
    announce_bundles(train.partial(day=day).expand(model=MODELS), day)


train_models()
