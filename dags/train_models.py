"""Train every model once per newest complete day, and let the gate judge it on that day.

**What.** Each model is trained on all days before D and judged on D against the release that serves. Only
when all have passed are their bundles announced. Nothing is released here.

**Skipped, green.** A newer day is committed, or ingest runs are not done: the features of the last of them
start this DAG again. So a backfill of many days trains once, when all its days are in.

**When it is red.** `train`: the gate refused the model, and the log says why (worse, collapsed, NaN); the old
release goes on serving. Look at the run in MLflow, then clear the task, or wait for the next day. To train on
a certain day, or if the ingest that it waited for failed, start it by hand with the param `day`.
"""

from airflow.sdk import Param, dag

from dags.assets import BUNDLES, FEATURES, announce
from dags.tasks import days_of_run, newest_or_skip, step

MODELS = ["popularity", "single_activation"]


@dag(
    schedule=[FEATURES],
    catchup=False,
    max_active_runs=1,
    params={"day": Param(None, type=["null", "string"], description="YYYY-MM-DD to judge on, newest or not")},
    doc_md=__doc__,
    tags=["facet"],
)
def train_models() -> None:
    @step()
    def choose_day() -> str:
        from features.ingest import newest_committed_day

        return newest_or_skip(days_of_run(FEATURES)[-1], newest_committed_day())

    @step(max_active_tis_per_dagrun=2, map_index_template="{{ task.op_kwargs['model'] }}")
    def train(model: str, day: str) -> str:
        from training.challenger import train_challenger

        return train_challenger(model, day)

    @step(outlets=[BUNDLES])
    def announce_bundles(bundles: list[str], day: str) -> str:
        return announce(BUNDLES, day=day, bundles=list(bundles))

    day = choose_day()
    announce_bundles(train.partial(day=day).expand(model=MODELS), day)


train_models()
