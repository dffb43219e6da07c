"""Validation over the days as one HTML page: rows, quarantine, failures; the page loads nothing."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from features.plots import as_svg, empty_plot, html_page, html_table
from features.settings import Settings
from features.stage import Counts, write_atomically
from features.validation.results import Result, Run, read_runs
from features.validation.subjects import committed_counts

SHOWN_DAYS: Final = 60
SHOWN_FAILURES: Final = 50
MAX_TICKS: Final = 15


def write_page(settings: Settings) -> Path:
    """Write ``reports/validation/index.html`` about the newest days and return its path."""
    runs = read_runs(settings)
    counts = _newest_counts(runs, settings)
    failed = [result for run in runs for result in run.results if not result.success]
    parts = [
        "<h2>Good rows per landing day</h2>",
        _bars(_kept(counts), "rows"),
        "<h2>Share of rows in quarantine, by rule</h2>",
        _bars(_quarantined(counts), "share of the day's rows"),
        "<h2>Failing expectations per day</h2>",
        _bars(_failures(runs), "expectations"),
        "<h2>Newest failures</h2>",
        html_table(
            ["verdict", "day", "expectation", "observed", "limit"],
            [[r.verdict, r.day, r.name, r.observed, r.limit] for r in failed[: -SHOWN_FAILURES - 1 : -1]],
        ),
    ]
    path = settings.reports / "validation" / "index.html"
    write_atomically(path, html_page("Validation", parts))
    return path


def _newest_counts(runs: list[Run], settings: Settings) -> list[Counts]:
    """Of every landing day what was counted last, be it refused or committed."""
    committed = sorted(path.stem for path in (settings.reports / "ingest").glob("*.jsonl"))
    found = [*committed_counts(committed[-SHOWN_DAYS:], settings), *(c for run in runs for c in run.counts)]
    newest = {(count.landing_day, count.table): count for count in found}
    days = sorted({count.landing_day for count in found})[-SHOWN_DAYS:]
    return [newest[key] for key in sorted(newest) if key[0] in days]


def _kept(counts: list[Counts]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for count in counts:
        found[count.table][count.landing_day] = float(count.kept)
    return found


def _quarantined(counts: list[Counts]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for count in counts:
        for rule, rows in count.rules.items():
            found[f"{count.table}: {rule}"][count.landing_day] = rows / max(count.read, 1)
    return found


def _failures(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Failures by verdict and day: of each expectation and day only the newest result counts."""
    newest: dict[tuple[str, str, str], Result] = {}
    for run in runs:
        newest |= {(run.source, result.day, result.name): result for result in run.results}
    days = sorted({result.day for result in newest.values()})[-SHOWN_DAYS:]
    found: dict[str, dict[str, float]] = {verdict: dict.fromkeys(days, 0.0) for verdict in ("FAIL", "WARN")}
    for result in newest.values():
        if not result.success and result.day in days:
            found[result.verdict][result.day] += 1
    return found


def _bars(series: Mapping[str, Mapping[str, float]], label: str) -> str:
    """One stacked bar per day; ``series`` is name -> day -> height."""
    days = sorted({day for values in series.values() for day in values})
    if not any(height for values in series.values() for height in values.values()):
        return "<p>none</p>"
    figure, axes = empty_plot()
    below = [0.0] * len(days)
    for name, values in series.items():
        heights = [values.get(day, 0.0) for day in days]
        axes.bar(range(len(days)), heights, bottom=below, label=name)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    step = -(-len(days) // MAX_TICKS)
    axes.set_xticks(range(0, len(days), step), days[::step], rotation=45, ha="right")
    axes.set_ylabel(label)
    return as_svg(figure)
