"""What batch tasks left in ``FACET_HOME/metrics``, as part of this process's metrics.

A file that is broken, cut off or names what the table does not know is left out and counted; it never breaks
the rest. See ``features/task_metrics.py``, which writes them.
"""

from collections.abc import Iterable
from pathlib import Path

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from features.task_metrics import SUFFIX, TASK_METRICS

log = structlog.get_logger(__name__)


class TaskFiles(Collector):
    """The files of one folder; read when asked to, so that one look serves a whole scrape."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._families: list[Metric] = []

    def read(self) -> int:
        """Read all files again; returns how many are broken."""
        families = {
            name: GaugeMetricFamily(name, metric.help, labels=metric.labels)
            for name, metric in TASK_METRICS.items()
        }
        num_broken = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                samples = _samples(path)
            except (OSError, ValueError) as error:
                num_broken += 1
                log.warning("figures of a task not read", file=str(path), error=str(error))
                continue
            for name, labels, value in samples:
                families[name].add_metric(labels, value)
        self._families = [family for family in families.values() if family.samples]
        return num_broken

    def collect(self) -> Iterable[Metric]:
        """What the last ``read`` found."""
        return self._families

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering reads no file."""
        return []


def _samples(path: Path) -> list[tuple[str, list[str], float]]:
    """Name, label values in the order of the table, value. Raises ``ValueError`` unless the file is whole."""
    found = []
    for family in text_string_to_metric_families(path.read_text()):
        if family.name not in TASK_METRICS:
            raise ValueError(f"{family.name} is not in the table of metrics")
        labels = TASK_METRICS[family.name].labels
        for sample in family.samples:
            if sample.labels.keys() != set(labels):
                raise ValueError(f"{family.name} has other labels than the table says")
            found.append((family.name, [sample.labels[label] for label in labels], sample.value))
    return found
