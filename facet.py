"""The command line. Parses, calls one function of a library folder, prints; no logic of its own.

Every command takes ``--json``: logs go to stderr, and the last line of stdout is one JSON object.
Exit codes: 0 done, 1 failed, 2 wrong use. Heavy libraries are imported inside the commands.
"""

import dataclasses
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from features.days import add_days, day_of, parse_days, parse_moment, parse_span
from features.errors import BadInputError, FacetError
from features.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
out = Console(highlight=False, soft_wrap=True)
WIDE = 240
"""Columns of a leaderboard, also where no terminal says how wide it is."""

JsonFlag = Annotated[bool, typer.Option("--json", help="print one JSON object last")]
DaysArgument = Annotated[str, typer.Argument(metavar="A..B", help="UTC days, or one day")]
MomentOption = Annotated[str, typer.Option(help="a day (its end, UTC) or an ISO time with offset")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", exists=True, file_okay=False)]


@app.command()
def simulate(
    days: Annotated[int, typer.Option(min=1, help="days of logs")] = 21,
    last_day: Annotated[str | None, typer.Option(help="last UTC day; yesterday if unset")] = None,
    users: Annotated[int, typer.Option(min=1)] = 3000,
    videos: Annotated[int, typer.Option(min=1)] = 5000,
    noise: Annotated[float, typer.Option(min=0, max=1, help="1: choices ignore interests")] = 0.1,
    dirt: Annotated[float, typer.Option(min=0, max=1, help="share of rows to damage")] = 0.0,
    seed: int = 7,
    as_json: JsonFlag = False,
) -> None:
    """Write landing files of an invented app whose users have planted interests."""
    from features.sources.simulator import SimulationConfig
    from features.sources.simulator import simulate as run

    config = SimulationConfig(
        num_days=days,
        last_day=last_day or add_days(day_of(datetime.now(UTC)), -1),
        num_users=users,
        num_videos=videos,
        noise=noise,
        dirt=dirt,
        seed=seed,
    )
    report = run(config, Settings())
    facts = {
        "events": report.num_events,
        "first_day": report.days[0],
        "last_day": report.days[-1],
        "landing": str(Settings().landing),
    }
    _report(facts, as_json)


@app.command("import")
def import_logs(
    source: Annotated[str, typer.Argument(help="kuairand")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Turn a public log into landing files."""
    from features.sources.kuairand import import_kuairand

    if source != "kuairand":
        raise BadInputError(f"unknown source {source!r}; known: kuairand")
    _report(dataclasses.asdict(import_kuairand(folder, Settings())), as_json)


@app.command()
def ingest(days: DaysArgument, as_json: JsonFlag = False) -> None:
    """Landing files to curated day partitions: typed, deduplicated, checked; bad rows to quarantine."""
    from features.ingest import ingest as run
    from features.lake import Lake

    settings = Settings()
    staged = run(parse_days(days), settings=settings)
    lake = Lake(settings)
    partitions = {
        f"{part.table}/{part.day}": {"rows": part.rows, "checksum": lake.checksum(part.table, part.day)}
        for part in staged.partitions
    }
    totals = {
        name: sum(getattr(count, name) for count in staged.counts)
        for name in ("read", "kept", "duplicate", "quarantined")
    }
    if not as_json:
        _print_counts([count.model_dump() for count in staged.counts])
    _report(
        totals
        | {"balanced": all(count.balanced for count in staged.counts)}
        | ({"counts": [c.model_dump() for c in staged.counts], "partitions": partitions} if as_json else {}),
        as_json,
    )


@app.command()
def materialize(day: Annotated[str, typer.Argument(metavar="DAY")], as_json: JsonFlag = False) -> None:
    """Build the features of DAY, and of earlier days that lack them, and fill the online store."""
    from features.materialize import materialize as run

    _report({"day": run(parse_days(day)), "feature_store": str(Settings().feast)}, as_json)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="popularity or single_activation")],
    until: MomentOption,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train MODEL on the watches before --until; prints the path of its bundle last."""
    from training.run import train as run

    moment = parse_moment(until)
    bundle = run(model, moment, settings=Settings(), overrides=settings or [], show_progress=not as_json)
    out.print(json.dumps({"bundle": str(bundle)}) if as_json else str(bundle))


@app.command()
def evaluate(
    bundle: BundlePath,
    days: Annotated[str, typer.Option(metavar="A..B", help="days, or two ISO times with offset")],
    half: Annotated[str, typer.Option(help="of the users: tune, report or all")] = "all",
    as_json: JsonFlag = False,
) -> None:
    """Judge a bundle on the positives of a time span, against the whole catalogue."""
    from training.evaluation import judge_bundle

    if half not in ("tune", "report", "all"):
        raise BadInputError(f"--half {half} is none of tune, report, all")
    start, end = parse_span(days)
    judged = judge_bundle(bundle, start, end, settings=Settings(), half=cast(Any, half))
    if not as_json:
        _print_groups(judged.groups)
    _report(judged.metrics | ({"groups": judged.groups} if as_json else {}), as_json)


@app.command()
def leaderboard(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", exists=True, dir_okay=False, help="TOML")],
    parallel: Annotated[int, typer.Option(min=1, help="rows trained at once")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Train and judge what CONFIG lists and is missing; prints one table and writes one page."""
    from training.leaderboard import read_config, run_leaderboard
    from training.leaderboard_page import write_page

    settings, name = Settings(), config.stem
    board = run_leaderboard(read_config(config), name, settings=settings, parallel=parallel)
    page = write_page(board, name, settings.root / "leaderboards" / name / "leaderboard.html")
    if not as_json:
        _print_leaderboard(board.rows)
    facts = {"rows": board.rows, "groups": board.groups} if as_json else {}
    _report(facts | {"page": str(page), "failed": board.failed}, as_json)
    if board.failed:
        raise typer.Exit(1)


@app.command()
def tune(
    model: Annotated[str, typer.Argument()],
    until: MomentOption,
    days: Annotated[str, typer.Option(metavar="A..B", help="days that trials are judged on")],
    trials: Annotated[int, typer.Option(min=1, help="trials of the study, earlier ones included")],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
    space: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="TOML of bounds")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Search the settings of MODEL on the users of the half "tune"; a killed search goes on."""
    from training.tune import read_space
    from training.tune import tune as run

    bounds = read_space(space) if space else None
    moment, span, fixed = parse_moment(until), parse_span(days), settings or []
    best = run(model, moment, span, trials, settings=Settings(), overrides=fixed, space=bounds)
    line = " ".join(f"--set {text}" for text in best.overrides)
    _report(dataclasses.asdict(best) | {"repeat": f"facet train {model} --until {until} {line}"}, as_json)


@app.command()
def publish(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", exists=True, file_okay=False)],
    as_json: JsonFlag = False,
) -> None:
    """Load the bundles' item vectors into Milvus, verify them, and make them the current release."""
    from serving.publish import publish as run

    _report({"release": run(bundles, settings=Settings())}, as_json)


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="a kept release; the one before if unset")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an earlier release the current one."""
    from serving.embedded import milvus_server
    from serving.publish import rollback as run
    from serving.settings import ServingSettings

    settings, serving = Settings(), ServingSettings()
    with milvus_server(serving, settings):
        _report({"release": run(version, settings=settings, serving_settings=serving)}, as_json)


@app.command()
def recall(
    user_id: Annotated[int, typer.Argument(metavar="USER", min=0)],
    top_n: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    explain: Annotated[bool, typer.Option("--explain", help="show the interests behind the list")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Candidates of one user from the current release, and which interest found each."""
    from serving.run import keep_out

    keep_out(("torch", "mlflow"))  # Feast imports torch wherever it is installed; seconds that nobody needs
    from serving.embedded import milvus_server
    from serving.recall import open_recaller
    from serving.settings import ServingSettings

    settings, serving = Settings(), ServingSettings()
    with milvus_server(serving, settings):
        result = open_recaller(settings, serving).recall(user_id, top_n, explain)
    _print_recall(dataclasses.asdict(result), as_json)


@app.command("recall-batch")
def recall_batch(
    bundle: Annotated[Path, typer.Option(exists=True, file_okay=False)],
    users: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Parquet with user_id int64")],
    as_of: MomentOption,
    out_file: Annotated[
        Path, typer.Option("--out", help="Parquet: user_id, rank, video_id, score, interest")
    ],
    top_n: Annotated[int, typer.Option(min=1)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Candidates of many users from one bundle and their histories before --as-of."""
    from features.stage import write_parquet
    from training.ranking import read_users
    from training.ranking import recall_batch as run

    rows = run(bundle, read_users(users), parse_moment(as_of), top_n, settings=Settings())
    write_parquet(rows, out_file)
    _report({"rows": rows.num_rows, "out": str(out_file)}, as_json)


@app.command()
def serve() -> None:
    """Run the HTTP API of the current release."""
    from serving.run import serve as run

    run()


@app.command()
def up() -> None:
    """Run everything on this machine: Airflow, Milvus Lite, MLflow, Feast UI and the API; Ctrl-C ends it."""
    from serving.stack import run_stack

    with run_stack(Settings()) as stack:
        for endpoint in stack.endpoints.values():
            out.print(f"{endpoint.title:<12} {endpoint.url}")
        stack.wait()


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Check everything that Facet needs, and say what to do about what is missing."""
    from serving.doctor import examine

    findings = examine(Settings())
    for finding in findings:
        mark = "ok " if finding.is_well else ("!! " if finding.is_required else "-- ")
        _say(f"{mark} {finding.subject:<24} {finding.text}", as_json)
    failed = [finding.subject for finding in findings if finding.is_required and not finding.is_well]
    _report({"failed": failed, "checked": len(findings)}, as_json)
    if failed:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line and turn expected failures into one line on stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        app()
    except FacetError as error:
        _fail(str(error), 2 if isinstance(error, BadInputError) else 1)
    except ValidationError as error:
        _fail(f"wrong setting: {error}", 2)


def _fail(text: str, code: int) -> None:
    sys.stderr.write(f"error: {text}\n")
    raise SystemExit(code)


def _report(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(facts, default=str) + "\n")
        return
    for name, value in facts.items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        out.print(f"{name:<24} {shown}")


def _say(text: str, as_json: bool) -> None:
    (sys.stderr if as_json else sys.stdout).write(text + "\n")


def _print_counts(counts: list[dict[str, Any]]) -> None:
    table = Table(
        "landing day", "table", "read", "kept", "duplicate", "quarantined", "most frequent rule", box=None
    )
    for count in counts:
        numbers = [f"{count[name]:,}" for name in ("read", "kept", "duplicate", "quarantined")]
        worst = max(count["rules"], key=count["rules"].get, default="")
        table.add_row(count["landing_day"], count["table"], *numbers, worst)
    out.print(table)


def _print_groups(groups: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> None:
    table = Table("grouping", "group", "users", "recall_at_50", "ndcg_at_50", box=None)
    for grouping, members in groups.items():
        for label, metrics in members.items():
            figures = [_figure(metrics.get(name)) for name in ("recall_at_50", "ndcg_at_50")]
            table.add_row(grouping, label, f"{metrics['num_users']:.0f}", *figures)
    out.print(table)


def _print_leaderboard(rows: list[dict[str, Any]]) -> None:
    from training.leaderboard_page import COLUMNS, cells

    table = Table(box=None)
    for heading in COLUMNS:
        table.add_column(heading, no_wrap=True)
    for line in rows:
        table.add_row(*cells(line))
    Console(highlight=False, width=WIDE).print(table)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _print_recall(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _report(result, as_json)
        return
    out.print(
        f"user {result['user_id']}, release {result['release']}"
        + (f", {result['reason']}" if result["reason"] else "")
    )
    for interest in result["interests"]:
        out.print("  " + ", ".join(f"{name} {value}" for name, value in interest.items()))
    table = Table("rank", "video", "score", "interest", "tags", box=None)
    for rank, candidate in enumerate(result["candidates"]):
        found_by = str(candidate["interest"]) if candidate["interest"] >= 0 else "popular"
        tags = ", ".join(map(str, candidate["tags"] or []))
        table.add_row(str(rank), str(candidate["video_id"]), f"{candidate['score']:.3f}", found_by, tags)
    out.print(table)


if __name__ == "__main__":
    main()
