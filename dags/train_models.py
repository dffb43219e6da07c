"""Train the daily models once per newest complete day, and let the gate judge each on that day.

**What.** Each model of `FACET_TRAIN_MODELS` is trained on all days before D, with its settings of
`FACET_TRAIN_SET`, and judged on D against the release that serves. The bundles that passed are announced
together; a model that was refused keeps the bundle that serves. Nothing is released here.

**Skipped, green.** The features lack something that is committed, or ingest runs are not done: the features
of the last of them start this DAG again. Or another run trains on the very same features. So a backfill of
many days trains once, when all its days are in; late events change the features, and train again.

**When it is red.** `train`: the gate refused the model, and the log says why (worse, collapsed, NaN); the old
bundle goes on serving beside what passed. Look at the run in MLflow, then clear the task, or wait for the
next day. To train on a certain day, or other models, or if the ingest that it waited for failed, start it by
hand with the params `day` and `models`.
"""

from airflow.sdk import Param, dag, get_current_context

from dags.assets import BUNDLES, FEATURES, announce
from dags.deadlines import TRAIN, deadline
from dags.form import owner_links
from dags.newest import day_to_train
from dags.tasks import step


@dag(
    schedule=[FEATURES],
    catchup=False,
    max_active_runs=1,
    params={
        "day": Param(None, type=["null", "string"], description="YYYY-MM-DD to judge on, newest or not"),
        "models": Param(None, type=["null", "string"], description="not FACET_TRAIN_MODELS, but these: a,b"),
    },
    deadline=deadline(TRAIN),
    doc_md=__doc__,
    tags=["facet", "training"],
    owner_links=owner_links(),
)
def train_models() -> None:
    @step(retries=60)
    def choose_day() -> str:
        from features.freshness import feature_state

        return day_to_train(feature_state())

    @step()
    def choose_models() -> list[str]:
        from training.challenger import models_to_train

        return models_to_train(get_current_context()["params"]["models"])

    @step(lineage="trained", max_active_tis_per_dagrun=2, map_index_template="{{ task.op_kwargs['model'] }}")
    def train(model: str, day: str) -> str:
        from training.challenger import train_challenger

        return train_challenger(model, day)

    @step(outlets=[BUNDLES], trigger_rule="none_skipped")
    def announce_bundles(bundles: list[str], day: str) -> str:
        from training.challenger import require_passed

        return announce(BUNDLES, day=day, bundles=require_passed(bundles))

    @step()
    def all_passed(bundles: list[str]) -> int:
        return len(bundles)

    day, models = choose_day(), choose_models()
    day >> models
    bundles = train.partial(day=day).expand(model=models)
    announce_bundles(bundles, day)
    all_passed(bundles)


train_models()
