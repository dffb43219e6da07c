"""A leaderboard as one HTML page with inline SVG; the page loads nothing."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

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
WIDTH, HEIGHT, MARGIN = 560, 320, 50
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
STYLE: Final = (
    "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:4px 10px;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{margin-right:2em}"
)


def cells(line: dict[str, Any]) -> list[str]:
    """The texts of one line, one per column."""
    return [_cell(line, key) for key in COLUMNS.values()]


def write_page(board: Leaderboard, title: str, path: Path) -> Path:
    """Write the page and return ``path``."""
    parts = [f"<h1>{escape(title)}</h1>", _html_table(list(COLUMNS), [cells(line) for line in board.rows])]
    parts += [f"<p>failed: {escape(name)}: {escape(text)}</p>" for name, text in board.failed.items()]
    parts += [_scatter(board.rows, key) for key in ("tag_diversity", "searches")]
    groupings = dict.fromkeys(g for groups in board.groups.values() for g in groups)
    for grouping in groupings:
        parts += [f"<h2>{MAIN_METRIC} by {escape(grouping)}</h2>", *_by_group(board, grouping)]
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    path.write_text(f"<!doctype html>{head}{''.join(parts)}")
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


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _by_group(board: Leaderboard, grouping: str) -> list[str]:
    labels = list(dict.fromkeys(g for groups in board.groups.values() for g in groups.get(grouping, {})))
    values = {
        name: [groups.get(grouping, {}).get(label, {}).get(MAIN_METRIC) for label in labels]
        for name, groups in board.groups.items()
    }
    rows = [[n, *("-" if v is None else f"{v:.4f}" for v in figures)] for n, figures in values.items()]
    return [_html_table(["name", *labels], rows), _bars(labels, values)]


def _scatter(rows: Sequence[dict[str, Any]], key: str) -> str:
    points = [(r["name"], r[key], r[MAIN_METRIC]) for r in rows if r.get(key) is not None]
    if not points:
        return ""
    right, top = (max(p[i] for p in points) * 1.15 or 1.0 for i in (1, 2))
    marks = [_text(WIDTH / 2, HEIGHT - 8, key), _text(MARGIN, 14, MAIN_METRIC)]
    for i, (name, x, y) in enumerate(points):
        across = MARGIN + x / right * (WIDTH - 2 * MARGIN)
        down = HEIGHT - MARGIN - y / top * (HEIGHT - 2 * MARGIN)
        colour = COLOURS[i % len(COLOURS)]
        marks.append(f"<circle cx='{across:.1f}' cy='{down:.1f}' r='5' fill='{colour}'/>")
        marks.append(_text(across, down - 9, f"{name} ({x:.2f}, {y:.4f})"))
    return _svg(marks)


def _bars(labels: Sequence[str], values: dict[str, list[float | None]]) -> str:
    top = max((v for figures in values.values() for v in figures if v is not None), default=0.0) or 1.0
    slot = (WIDTH - 2 * MARGIN) / max(len(labels), 1)
    width = slot * 0.8 / max(len(values), 1)
    marks = [_text(MARGIN + slot * (i + 0.4), HEIGHT - 30, label) for i, label in enumerate(labels)]
    for row, (name, figures) in enumerate(values.items()):
        colour = COLOURS[row % len(COLOURS)]
        for i, value in enumerate(figures):
            tall = (value or 0) / top * (HEIGHT - 2 * MARGIN)
            place = f"x='{MARGIN + slot * i + width * row:.1f}' y='{HEIGHT - MARGIN - tall:.1f}'"
            shape = f"<rect {place} width='{width:.1f}' height='{tall:.1f}' fill='{colour}'>"
            marks.append(f"{shape}<title>{escape(name)}: {value}</title></rect>")
    return _svg(marks) + "".join(
        f"<span style='color:{COLOURS[i % len(COLOURS)]}'>■ {escape(name)} </span>"
        for i, name in enumerate(values)
    )


def _text(x: float, y: float, text: str) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' font-size='12' text-anchor='middle'>{escape(text)}</text>"


def _svg(marks: Sequence[str]) -> str:
    low = HEIGHT - MARGIN
    axes = f"M{MARGIN} {MARGIN}V{low}H{WIDTH - MARGIN}"
    path = f"<path d='{axes}' fill='none' stroke='#888'/>"
    return f"<svg width='{WIDTH}' height='{HEIGHT}'>{path}{''.join(marks)}</svg>"
