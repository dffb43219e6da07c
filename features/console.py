"""What the commands share: their common options, and how they print.

With ``--json`` everything for people goes to stderr, and the last line of stdout is one JSON object.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

out: Final = Console(highlight=False, soft_wrap=True)
"""Where tables go."""
JsonFlag = Annotated[bool, typer.Option("--json", help="print one JSON object last")]
DaysArgument = Annotated[str, typer.Argument(metavar="A..B", help="UTC days, or one day")]
MomentOption = Annotated[str, typer.Option(help="a day (its end, UTC) or an ISO time with offset")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", exists=True, file_okay=False)]


def report(facts: Mapping[str, Any], as_json: bool) -> None:
    """Print ``facts``, one line each, or as the JSON object that ends the output."""
    if as_json:
        sys.stdout.write(json.dumps(facts, default=str) + "\n")
        return
    for name, value in facts.items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        out.print(f"{name:<24} {shown}")


def say(text: str, as_json: bool) -> None:
    """One line for people."""
    (sys.stderr if as_json else sys.stdout).write(text + "\n")


def figure(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4f}"
