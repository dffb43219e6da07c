"""The form that all DAGs and tasks share in Airflow's UI: who owns them, what they say, where they link.

A task's buttons lead to the pages that its process noted, see ``features/links.py``. Airflow asks for them
when a task ends, also a red one, and hides those that lead nowhere.
"""

from collections.abc import Callable
from functools import cache
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

from airflow.providers.standard.decorators.python import _PythonDecoratedOperator
from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

OWNER: Final = "facet"
TASKS: Final = Path(__file__).with_name("tasks.md")
REPORTS: Final = "/facet/reports"
"""Where ``dags/plugins/facet_views.py`` shows files below ``FACET_HOME/reports``."""


class NotedLink(BaseOperatorLink):
    """One page by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Text of the button."""
        return self._name

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the address."""
        return f"_link_{self._name}"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401 - Airflow's types
        """The address, or nothing where the task noted none."""
        from features.links import NOTED

        page = NOTED.get(self._name, "")
        return _served(page) if page.startswith(("/", "file:")) else page


class StepOperator(_PythonDecoratedOperator):
    """``@task`` with the buttons."""

    operator_extra_links = tuple(map(NotedLink, ("Data Docs", "MLflow run", "Operations", "Report")))


def task_doc(body: Callable[..., Any]) -> str | None:
    """The section of ``tasks.md`` about the task with this ``body``, or else its docstring."""
    return _sections().get(body.__name__) or getdoc(body)


def owner_links() -> dict[str, str]:
    """Of every DAG: its owner leads to the page that shows what serves."""
    return {OWNER: f"{_airflow_url()}/plugin/recall-operations"}


def _airflow_url() -> str:
    """Where a browser finds Airflow, without a slash at its end."""
    return str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")


@cache
def _sections() -> dict[str, str]:
    parts = (part.partition("\n") for part in TASKS.read_text().split("\n## ")[1:])
    return {name: text.strip() for name, _, text in parts}


def _served(page: str) -> str:
    """The address of a file below the reports."""
    from features.settings import Settings

    path = page.removeprefix("file://")
    return f"{_airflow_url()}{REPORTS}/{path.removeprefix(str(Settings().reports)).lstrip('/')}"
