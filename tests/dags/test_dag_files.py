"""Every DAG file parses, stays thin, tells the operator what to do, and is wired as promised."""

import ast
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronDataIntervalTimetable

from dags.assets import BUNDLES, FEATURES, WATCHES
from features.links import NAMES

DAGS = Path(__file__).parents[2] / "dags"
NO_DAGS = {
    "__init__",
    "assets",
    "deadlines",
    "form",
    "ingest_tasks",
    "lineage",
    "newest",
    "openlineage_extractor",
    "tasks",
}
DAG_FILES = [path for path in sorted(DAGS.glob("*.py")) if path.stem not in NO_DAGS]
HEAVY = {
    "feast",
    "mlflow",
    "torch",
    "great_expectations",
    "pymilvus",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "duckdb",
}


@pytest.fixture(scope="module")
def dagbag() -> DagBag:
    return DagBag(dag_folder=str(DAGS))


def test_every_file_is_one_dag_named_like_it(dagbag: DagBag) -> None:
    assert dagbag.import_errors == {}
    assert set(dagbag.dags) == {path.stem for path in DAG_FILES}


@pytest.mark.parametrize(
    ("dag_id", "upstream"),
    [
        ("ingest_watch_logs", {"stage": set(), "validate": {"stage"}, "commit": {"validate"}}),
        (
            "ingest_late_files",
            {"find": set(), "stage": {"find"}, "validate": {"stage"}, "commit": {"validate"}},
        ),
        (
            "ingest_landed_days",
            {"find": set(), "stage": {"find"}, "validate": {"stage"}, "commit": {"validate"}},
        ),
        ("clean_up", {"clean": set()}),
        ("backtest", {"list_days": set(), "replay": {"list_days"}, "summarize": {"replay"}}),
        ("materialize_features", {"materialize": set()}),
        (
            "train_models",
            {
                "choose_day": set(),
                "choose_models": {"choose_day"},
                "train": {"choose_day", "choose_models"},
                "announce_bundles": {"train", "choose_day"},
                "all_passed": {"train"},
            },
        ),
        ("publish_release", {"publish": set()}),
        ("renew_catalogue", {"renew": set()}),
        ("roll_back", {"choose": set(), "flip": {"choose"}}),
    ],
)
def test_tasks_follow_each_other_as_promised(
    dagbag: DagBag, dag_id: str, upstream: dict[str, set[str]]
) -> None:
    found = {task.task_id: set(task.upstream_task_ids) for task in dagbag.dags[dag_id].tasks}
    assert found == upstream


@pytest.mark.parametrize(
    ("producer", "task_id", "asset", "consumer"),
    [
        ("ingest_watch_logs", "commit", WATCHES, "materialize_features"),
        ("ingest_late_files", "commit", WATCHES, "materialize_features"),
        ("ingest_landed_days", "commit", WATCHES, "materialize_features"),
        ("ingest_watch_logs", "commit", WATCHES, "renew_catalogue"),
        ("materialize_features", "materialize", FEATURES, "train_models"),
        ("train_models", "announce_bundles", BUNDLES, "publish_release"),
    ],
)
def test_an_asset_connects_each_dag_to_the_next(
    dagbag: DagBag, producer: str, task_id: str, asset: object, consumer: str
) -> None:
    assert dagbag.dags[producer].get_task(task_id).outlets == [asset]
    others = [task for task in dagbag.dags[producer].tasks if task.task_id != task_id]
    assert all(not task.outlets for task in others), "an asset changes only after the last check"
    assert dagbag.dags[consumer].timetable.asset_condition.objects == (asset,)


def test_ingest_gets_the_utc_day_before_and_never_catches_up(dagbag: DagBag) -> None:
    dag = dagbag.dags["ingest_watch_logs"]
    assert dag.timetable == CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
    assert not dag.catchup


def test_late_files_are_looked_for_every_hour_away_from_midnight(dagbag: DagBag) -> None:
    dag = dagbag.dags["ingest_late_files"]
    assert dag.timetable == CronDataIntervalTimetable("30 * * * *", timezone="UTC")
    assert not dag.catchup


@pytest.mark.parametrize("dag_id", [path.stem for path in DAG_FILES])
def test_a_dag_retries_runs_once_at_a_time_and_tells_what_to_do_when_red(dagbag: DagBag, dag_id: str) -> None:
    dag: DAG = dagbag.dags[dag_id]
    assert all(task.retries >= 1 for task in dag.tasks)
    assert dag.max_active_runs == 1
    assert dag.doc_md is not None
    assert "**What.**" in dag.doc_md
    assert "**When it is red.**" in dag.doc_md


@pytest.mark.parametrize("dag_id", [path.stem for path in DAG_FILES])
def test_a_dag_has_tags_an_owner_with_a_page_and_params_that_say_what_they_are(
    dagbag: DagBag, dag_id: str
) -> None:
    dag: DAG = dagbag.dags[dag_id]
    assert dag.tags >= {"facet"}
    assert len(dag.tags) == 2, "facet, and the part that it belongs to"
    assert dag.owner_links == {"facet": "http://localhost:8080/plugin/recall-operations"}
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema.get("type"), name


@pytest.mark.parametrize("dag_id", [path.stem for path in DAG_FILES])
def test_a_task_has_an_owner_and_says_what_it_reads_and_writes_and_what_to_do_when_red(
    dagbag: DagBag, dag_id: str
) -> None:
    for task in dagbag.dags[dag_id].tasks:
        assert task.owner == "facet"
        for heading in ("**Reads.**", "**Writes.**", "**When it is red.**"):
            assert heading in (task.doc_md or ""), f"dags/tasks.md says no {heading} of {task.task_id}"


def test_no_section_is_about_a_task_that_there_is_not(dagbag: DagBag) -> None:
    headings = {line[3:] for line in (DAGS / "tasks.md").read_text().splitlines() if line.startswith("## ")}
    assert headings <= {task.task_id for dag in dagbag.dags.values() for task in dag.tasks}


def test_the_buttons_of_a_task_are_the_pages_that_a_process_can_note(dagbag: DagBag) -> None:
    tasks = [task for dag in dagbag.dags.values() for task in dag.tasks]
    assert {tuple(link.name for link in task.operator_extra_links) for task in tasks} == {NAMES}


@pytest.mark.parametrize("path", [*DAG_FILES, DAGS / "ingest_tasks.py"], ids=lambda path: path.stem)
def test_a_task_body_has_at_most_three_statements(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bodies = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name != path.stem]
    assert bodies or "dags.ingest_tasks" in path.read_text()
    lengths = {body.name: len(body.body) - (ast.get_docstring(body) is not None) for body in bodies}
    assert {name: length for name, length in lengths.items() if length > 3} == {}


@pytest.mark.parametrize("path", sorted(DAGS.glob("*.py")), ids=lambda path: path.stem)
def test_nothing_heavy_is_imported_when_a_file_is_parsed(path: Path) -> None:
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top
    }
    assert {module for module in modules if module.split(".")[0] in HEAVY} == set()
    allowed = {"features.days", "features.errors"}
    ours = {module for module in modules if module.split(".")[0] in {"features", "training", "serving"}}
    assert ours <= allowed
