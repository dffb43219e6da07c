"""A table in a log: one line per row, so that every reader of logs shows it in columns."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

log = structlog.get_logger(__name__)

WIDTH: Final = 200
"""Columns; longer cells are folded."""


def log_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Log ``rows`` below ``title``; headings are the keys of the first row. Nothing for no rows."""
    for line in table_lines(title, rows):
        log.info(line)


def table_lines(title: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table as text: numbers to the right, counts with commas, fractions with four digits."""
    if not rows:
        return []
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in rows[0]:
        is_number = all(isinstance(row.get(heading), int | float | None) for row in rows)
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(heading)) for heading in rows[0]))
    text = io.StringIO()
    Console(file=text, width=WIDTH, markup=False, highlight=False).print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return [title, *(line for line in lines if line)]


def _cell(value: Any) -> str:  # noqa: ANN401 - what a figure may be
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)
