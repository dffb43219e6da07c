"""Gives the OpenLineage provider the datasets that a task has noted; see ``dags/lineage.py``.

Only the provider imports this file, by the setting ``AIRFLOW__OPENLINEAGE__EXTRACTORS``.
"""

from typing import TYPE_CHECKING, Any

from airflow.providers.openlineage.extractors.base import BaseExtractor, OperatorLineage
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import DatasetFacet, dataset_version_dataset

from dags import lineage
from dags.form import StepOperator

if TYPE_CHECKING:
    from features import lineage as features


class NotedExtractor(BaseExtractor):
    """Of every task: nothing at its start, what it noted at its end."""

    @classmethod
    def get_operator_classnames(cls) -> list[str]:
        """The class behind every task."""
        return [StepOperator.__name__]

    def _execute_extraction(self) -> OperatorLineage:
        return OperatorLineage()

    def extract_on_complete(self, task_instance: Any) -> OperatorLineage:  # noqa: ANN401 - Airflow's type
        """Called in the process that ran the task."""
        inputs = [_dataset(found) for noted in lineage.NOTED for found in noted.inputs]
        outputs = [_dataset(found) for noted in lineage.NOTED for found in noted.outputs]
        return OperatorLineage(inputs=inputs, outputs=outputs)


def _dataset(found: "features.Dataset") -> Dataset:
    facets: dict[str, DatasetFacet] = {}
    if found.version:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(found.version)
    return Dataset(namespace=found.namespace, name=found.name, facets=facets)
