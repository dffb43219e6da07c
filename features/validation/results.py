"""Results of validation, kept: one JSON file per run below ``reports/validation/runs``, newest last."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from features.config import Severity, ValidationConfig
from features.settings import Settings
from features.stage import Counts, write_atomically
from features.validation.checks import Figure

log = structlog.get_logger(__name__)

COLUMNS: Final = {"met": "PASS", "warnings": "WARN", "failures": "FAIL"}
"""Of ``Run.by_table``: heading to verdict."""


class Result(BaseModel):
    """How one expectation about one table and day came out."""

    model_config = ConfigDict(frozen=True)

    table: str
    day: str
    name: str
    says: str
    severity: Severity
    success: bool
    value: float
    limit: str
    observed: str
    rows: int
    failing_rows: int | None
    """``None`` where the expectation is not about single rows."""
    examples: list[dict[str, Any]] = []

    @classmethod
    def of(
        cls,
        figure: Figure,
        *,
        table: str,
        day: str,
        limits: ValidationConfig,
        success: bool,
        examples: list[dict[str, Any]],
    ) -> "Result":
        """The result of a figure that was judged."""
        check = figure.check
        return cls(
            table=table,
            day=day,
            name=check.name,
            says=check.says,
            severity=limits.severity(check.name),
            success=success,
            value=figure.value,
            limit=check.limit,
            observed=figure.observed,
            rows=figure.num_rows,
            failing_rows=figure.num_failing,
            examples=examples,
        )

    @property
    def verdict(self) -> str:
        """``PASS``, ``WARN`` or ``FAIL``."""
        if self.success:
            return "PASS"
        return "FAIL" if self.severity == "block" else "WARN"

    def __str__(self) -> str:
        rows = "".join(f"\n      e.g. {row}" for row in self.examples)
        return f"{self.table} {self.day}: {self.name}: {self.says}: {self.observed} ({self.limit}){rows}"


class Run(BaseModel):
    """All results of one call of validation."""

    model_config = ConfigDict(frozen=True)

    source: str
    """``stage``, ``lake`` or ``features``."""
    days: list[str]
    moment: datetime
    results: list[Result]
    counts: list[Counts] = []
    """Of the staged landing days."""
    data_docs: str

    @classmethod
    def finished(cls, source: str, results: list[Result], data_docs: str, counts: list[Counts]) -> "Run":
        """A run that ended now."""
        days = sorted({result.day for result in results})
        moment = datetime.now(UTC)
        return cls(
            source=source, days=days, moment=moment, results=results, data_docs=data_docs, counts=counts
        )

    @property
    def blocking(self) -> list[Result]:
        """Failures that stop the stage."""
        return [result for result in self.results if result.verdict == "FAIL"]

    @property
    def warnings(self) -> list[Result]:
        """Failures that do not."""
        return [result for result in self.results if result.verdict == "WARN"]

    def by_table(self) -> list[dict[str, Any]]:
        """How many expectations of each day and table were met, missed with a warning, and failed."""
        subjects = sorted({(result.day, result.table) for result in self.results})
        found = []
        for day, table in subjects:
            verdicts = [r.verdict for r in self.results if (r.day, r.table) == (day, table)]
            counts = {name: verdicts.count(verdict) for name, verdict in COLUMNS.items()}
            found.append({"day": day, "table": table, "expectations": len(verdicts)} | counts)
        return found

    def lines(self, *, all_results: bool = False) -> list[str]:
        """What happened, for people: a line per table and day, then what failed, or all results."""
        subjects = sorted({(result.day, result.table) for result in self.results})
        found = []
        for day, table in subjects:
            own = [result for result in self.results if (result.day, result.table) == (day, table)]
            passed = sum(result.success for result in own)
            verdict = max((result.verdict for result in own), key=["PASS", "WARN", "FAIL"].index)
            found.append(f"{verdict}  {day}  {table}: {passed} of {len(own)} expectations met")
            found += [f"    {r.verdict}  {r}" for r in own if all_results or not r.success]
        return found

    def write(self, settings: Settings) -> Path:
        """Keep the run, log what failed, and drop the oldest runs beyond ``kept_runs``."""
        folder = _folder(settings)
        span = f"{self.days[0]}..{self.days[-1]}" if self.days else "nothing"
        path = folder / f"{self.moment:%Y%m%dT%H%M%S.%f}-{self.source}-{span}.json"
        write_atomically(path, self.model_dump_json(indent=1))
        for result in (*self.blocking, *self.warnings):
            event = "expectation failed" if result.severity == "block" else "expectation missed"
            log.warning(event, check=result.name, day=result.day, observed=result.observed)
        for old in sorted(folder.glob("*.json"))[: -settings.validation.kept_runs]:
            old.unlink(missing_ok=True)
        return path


def read_runs(settings: Settings) -> list[Run]:
    """All kept runs, oldest first; one that another version wrote in another form is left out."""
    runs = []
    for path in sorted(_folder(settings).glob("*.json")):
        try:
            runs.append(Run.model_validate_json(path.read_text()))
        except (ValidationError, FileNotFoundError):
            log.warning("stored validation run cannot be read", path=str(path))
    return runs


def _folder(settings: Settings) -> Path:
    return settings.reports / "validation" / "runs"
