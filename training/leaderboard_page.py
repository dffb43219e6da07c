"""A leaderboard as one HTML page with inline SVG; the page loads nothing."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from features.plots import as_svg, empty_plot, html_page, html_table
from training.leaderboard import Leaderboard
from training.metrics import MAIN_METRIC

COLUMNS: Final = {
    "name": "name",
    "recall@50 [95%]": MAIN_METRIC,
    "seeds, spread": "spread",
    "change [95%]": "change",
    "ndcg@50": "ndcg_at_50",
    "recall@20": "recall_at_20",
    "recall@100": "recall_at_100",
    "recall@200": "recall_at_200",
    "coverage": "coverage",
    "tags": "tag_diversity",
    "cosine": "mean_cosine",
    "effective interests": "effective_interests",
    "searches": "searches",
    "examples/s": "examples_per_second",
    "minutes": "minutes",
    "MB": "megabytes",
}
"""Heading to key of a line."""


def cells(line: dict[str, Any]) -> list[str]:
    """The texts of one line, one per column."""
    return [_cell(line, key) for key in COLUMNS.values()]


def write_page(board: Leaderboard, title: str, path: Path) -> Path:
    """Write the page and return ``path``."""
    parts = [html_table(list(COLUMNS), [cells(line) for line in board.rows])]
    parts += [f"<p>failed: {escape(name)}: {escape(text)}</p>" for name, text in board.failed.items()]
    parts += [_scatter(board.rows, key) for key in ("tag_diversity", "searches")]
    groupings = dict.fromkeys(g for groups in board.groups.values() for g in groups)
    for grouping in groupings:
        parts += [f"<h2>{MAIN_METRIC} by {escape(grouping)}</h2>", *_by_group(board, grouping)]
    path.write_text(html_page(title, parts))
    return path


def _cell(line: dict[str, Any], key: str) -> str:
    value = line.get(key)
    if key == "spread":
        return str(line["seeds"]) + ("" if value is None else f", ±{value:.4f}")
    if isinstance(value, str):
        return value
    if value is None:
        return "-"
    if key == MAIN_METRIC:
        return f"{value:.4f} [{line['interval'][0]:.4f}, {line['interval'][1]:.4f}]"
    if key == "change":
        low, high = line["change_interval"]
        return f"{value:+.1%} [{low:+.1%}, {high:+.1%}]"
    return f"{value:.4f}" if value < 1 else f"{value:,.1f}"


def _by_group(board: Leaderboard, grouping: str) -> list[str]:
    labels = list(dict.fromkeys(g for groups in board.groups.values() for g in groups.get(grouping, {})))
    values = {
        name: [groups.get(grouping, {}).get(label, {}).get(MAIN_METRIC) for label in labels]
        for name, groups in board.groups.items()
    }
    rows = [[n, *("-" if v is None else f"{v:.4f}" for v in figures)] for n, figures in values.items()]
    return [html_table(["name", *labels], rows), _bars(labels, values)]


def _scatter(rows: Sequence[dict[str, Any]], key: str) -> str:
    """``recall_at_50`` over another figure, a named point per row."""
    points = [(r["name"], r[key], r[MAIN_METRIC]) for r in rows if r.get(key) is not None]
    if not points:
        return ""
    figure, axes = empty_plot()
    for name, x, y in points:
        axes.scatter(x, y, label=name)
    axes.set(xlabel=key, ylabel=MAIN_METRIC)
    return as_svg(figure)


def _bars(labels: Sequence[str], values: dict[str, list[float | None]]) -> str:
    """One bar per row and group of users."""
    figure, axes = empty_plot()
    width = 0.8 / max(len(values), 1)
    for place, (name, figures) in enumerate(values.items()):
        left = [group + (place + 0.5) * width - 0.4 for group in range(len(labels))]
        axes.bar(left, [value or 0.0 for value in figures], width, label=name)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel(MAIN_METRIC)
    return as_svg(figure)
