"""Replay history: for each day train on all days before, recall for its users, judge on what they watched.

**What.** Started by hand with `model`, `from` and `to`. `replay` runs once per day, two at a time, with the
settings of the daily training; `summarize` puts one table of all days, with mean and spread, into its log
and into `reports/backtest/<model>/` of FACET_HOME. Nothing is released and no gate is asked.

**Why it is safe.** It reads the lake and writes bundles and reports only. A killed day is trained again; days
that are done keep their files. Bundles of a replay stay in `bundles/` until somebody deletes them.

**When it is red.** `replay`: the day's log says why, mostly that no watches lie before it or on it. Clear the
days that failed, or start again with other days.
"""

from airflow.sdk import Param, dag, get_current_context

from dags.form import owner_links
from dags.tasks import step


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "model": Param("single_activation", type="string", description="a file of training/models"),
        "from": Param("2026-01-02", type="string", format="date", description="first day to judge on"),
        "to": Param("2026-01-02", type="string", format="date", description="last day to judge on"),
    },
    doc_md=__doc__,
    tags=["facet", "training"],
    owner_links=owner_links(),
)
def backtest() -> None:
    @step()
    def list_days() -> list[str]:
        from features.days import parse_days

        params = get_current_context()["params"]
        return parse_days(f"{params['from']}..{params['to']}")

    @step(lineage="replayed", max_active_tis_per_dagrun=2, map_index_template="{{ task.op_kwargs['day'] }}")
    def replay(model: str, day: str) -> str:
        from training.replay import replay_day

        return replay_day(model, day)

    @step()
    def summarize(paths: list[str]) -> str:
        from training.replay import summarize as write_summary

        return write_summary(list(paths))

    summarize(replay.partial(model="{{ params.model }}").expand(day=list_days()))


backtest()
