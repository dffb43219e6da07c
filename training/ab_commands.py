"""Commands about experiments: begin one, end it, see what its arms brought."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from features.console import JsonFlag, out, report
from features.days import parse_span
from features.settings import Settings

if TYPE_CHECKING:
    from training.ab import Estimate

app = typer.Typer(help="Experiments: begin one, end it, see what its arms brought.", no_args_is_help=True)


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="letters, digits and _.-")],
    arms: Annotated[
        list[str],
        typer.Option("--arm", metavar="NAME:SHARE[:release=VERSION|:merge=FILE]", help="two or more"),
    ],
    salt: Annotated[str, typer.Option(help="another one deals the users anew")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Begin an experiment: each user gets one arm and keeps it. Serving follows within seconds."""
    from features.experiment import start_experiment
    from features.release import open_registry

    experiment = start_experiment(open_registry(Settings()), name, arms, salt)
    report({"experiment": experiment.name, "arms": {arm.name: arm.share for arm in experiment.arms}}, as_json)


@app.command()
def stop(as_json: JsonFlag = False) -> None:
    """End the experiment that runs: everybody gets what is live."""
    from features.experiment import stop_experiment
    from features.release import open_registry

    report({"ended": stop_experiment(open_registry(Settings()))}, as_json)


@app.command("report")
def show_report(
    days: Annotated[str, typer.Option(metavar="A..B", help="days, or two ISO times with offset")],
    name: Annotated[str | None, typer.Argument(help="of the experiment; the newest of these days")] = None,
    control: Annotated[str | None, typer.Option(help="arm to compare with; the first by name")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare the arms of one experiment by what their exposures led to, with 95% intervals."""
    from training.ab import ab_report

    found = ab_report(*parse_span(days), settings=Settings(), name=name, control=control)
    if as_json:
        report(dataclasses.asdict(found), as_json)
        return
    out.print(f"experiment {found.experiment}, {found.start.isoformat()} to {found.end.isoformat()}")
    for arm in found.arms:
        out.print(f"{arm.name}: {arm.num_users} users, {arm.num_answers} answers, {arm.num_exposures} shown")
        table = Table("figure", "value", "interval", "against the first", box=None)
        for name, value in arm.figures.items():
            against = _percent(arm.against[name]) if arm.against else "-"
            table.add_row(name, f"{value.value:.4f}", f"{value.low:.4f}..{value.high:.4f}", against)
        out.print(table)
    out.print(f"{found.num_mixed_users} users were shown videos by several arms and count in none")


def _percent(change: "Estimate") -> str:
    return f"{change.value:+.1%} ({change.low:+.1%}..{change.high:+.1%})"
