"""Plots as SVG that stands in a static HTML page; such a page loads nothing."""

import io
from collections.abc import Sequence
from html import escape
from typing import Final

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f27; --quiet: #555e6e; --line: #d5dae2; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12151a; --text: #e7eaf0; --quiet: #a6b0c0; --line: #333b47; }
}
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 90rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: 4px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
td:first-child, th:first-child { text-align: left; position: sticky; left: 0; background: var(--ground); }
svg { max-width: 100%; height: auto; }
"""
INK: Final = "#010203"
"""Colour of text and axes in a plot; the page replaces it by its own colour of text, light or dark."""


def empty_plot() -> tuple[Figure, Axes]:
    """An empty plot with twenty colours in turn."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_svg(figure: Figure) -> str:
    """The plot with its legend beside it, as SVG that stands in HTML and takes on the page's colours."""
    [axes] = figure.axes
    figure.legend(loc="outside right center", frameon=False, fontsize="small", labelcolor=INK)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.tick_params(colors=INK)
    for part in (axes.xaxis.label, axes.yaxis.label, axes.title):
        part.set_color(INK)
    axes.spines[:].set_color(INK)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    label = escape(" over ".join(name for name in (axes.get_ylabel(), axes.get_xlabel()) if name), quote=True)
    svg = text.getvalue()[text.getvalue().index("<svg") :].replace(INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, which are escaped."""
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<div class='wide' tabindex='0'><table><tr>{head}</tr>{body}</table></div>"


def html_page(title: str, parts: Sequence[str]) -> str:
    """A whole page; ``parts`` are HTML."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = f"<main><h1>{escape(title)}</h1>{''.join(parts)}</main>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>"
