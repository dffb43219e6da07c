"""Great Expectations over the figures of a day: which of them keep their bounds, as Data Docs too."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from features.validation.checks import Figure

if TYPE_CHECKING:
    from great_expectations.data_context import AbstractDataContext
    from great_expectations.expectations.expectation import Expectation

    from features.config import ValidationConfig

GX_SEVERITY: Final = {"block": "critical", "warn": "warning"}


class Judge:
    """One set of Data Docs below ``docs``, a suite and its result per day."""

    def __init__(self, docs: Path, limits: "ValidationConfig") -> None:
        self._docs = docs
        self._limits = limits
        self._context = _open_context(docs)

    def failing(self, name: str, figures: Sequence[Figure]) -> set[str]:
        """Names of the checks whose figure is out of bounds.

        Args:
            name: of the suite, for example the day.
        """
        import great_expectations as gx
        import pandas as pd

        expectations = [self._expectation(figure) for figure in figures]
        suite = self._context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        source = self._context.data_sources.add_or_update_pandas(name)
        batch = source.add_dataframe_asset("figures").add_batch_definition_whole_dataframe("day")
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        measured = pd.DataFrame({figure.check.name: [figure.value] for figure in figures})
        result = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": measured}, result_format="BASIC"
        )
        configs = [single.expectation_config for single in result.results if not single.success]
        return {config.kwargs["column"] for config in configs if config is not None}

    def build_docs(self) -> str:
        """Write the HTML of all results; returns the link."""
        self._context.build_data_docs()
        _share_static(self._docs / "static")
        return (self._docs / "index.html").as_uri()

    def _expectation(self, figure: Figure) -> "Expectation":
        import great_expectations.expectations as gxe

        check = figure.check
        return gxe.ExpectColumnMaxToBeBetween(
            column=check.name,
            min_value=check.low,
            max_value=check.high,
            severity=GX_SEVERITY[self._limits.severity(check.name)],
            notes=f"{check.says}: {figure.observed}",
        )


def _share_static(own: Path) -> None:
    """Keep style sheets and fonts, 4 MB and always the same, once for all Data Docs."""
    if own.is_symlink():
        return
    shared = own.parent.parent / own.name
    try:
        own.rename(shared)
    except OSError:  # it is there
        shutil.rmtree(own)
    own.symlink_to(Path("..") / own.name)


def _open_context(docs: Path) -> "AbstractDataContext":
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read by the library when it is imported
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.delete_data_docs_site("local_site")  # a temporary folder that nobody would find
    context.add_data_docs_site(
        site_name="facet",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    return context
