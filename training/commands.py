"""Commands about models: train, judge, compare, search settings, rank."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.table import Table

from features.console import BundlePath, JsonFlag, MomentOption, figure, out, report
from features.days import parse_days, parse_moment, parse_span
from features.errors import BadInputError
from features.settings import Settings
from training import ab_commands

WIDE: Final = 240
"""Columns of a leaderboard, also where no terminal says how wide it is."""


UnionOption = Annotated[
    Path | None, typer.Option("--union", exists=True, dir_okay=False, help="written by facet union")
]
ReleaseOption = Annotated[str | None, typer.Option(help="version of a release, or live")]

app = typer.Typer()
app.add_typer(ab_commands.app, name="ab")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="a file of training/models, for example single_activation")],
    until: Annotated[
        str | None,
        typer.Option(
            help="a day (its end, UTC) or an ISO time with offset; the newest ingested day if unset"
        ),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Train MODEL on the watches before --until; prints the path of its bundle last."""
    from features.freshness import newest_ingested_day
    from training.run import train as run

    settings = Settings()
    moment = parse_moment(until or newest_ingested_day(settings))
    bundle = run(model, moment, settings=settings, overrides=overrides or [], show_progress=not as_json)
    out.print(json.dumps({"bundle": str(bundle)}) if as_json else str(bundle))


@app.command()
def repeat(bundle: BundlePath, as_json: JsonFlag = False) -> None:
    """Train again what BUNDLE was trained from: same model, settings, cut and table versions."""
    from training.run import repeat as run

    again = run(bundle, settings=Settings(), show_progress=not as_json)
    out.print(json.dumps({"bundle": str(again)}) if as_json else str(again))


@app.command()
def refresh(bundle: BundlePath, until: MomentOption, as_json: JsonFlag = False) -> None:
    """Write BUNDLE again with the trend of the watches before --until; nothing is trained."""
    from training.refresh import refresh_trend

    again = refresh_trend(bundle, parse_moment(until), settings=Settings())
    out.print(json.dumps({"bundle": str(again)}) if as_json else str(again))


@app.command()
def evaluate(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=]BUNDLE...", help="paths, or models: their newest; several are fused"),
    ] = None,
    *,
    days: Annotated[str, typer.Option(metavar="A..B", help="days, or two ISO times with offset")],
    half: Annotated[str, typer.Option(help="of the users: tune, report or all")] = "all",
    merge: Annotated[
        list[str] | None, typer.Option("--merge", metavar="KEY=VALUE", help="as publish takes it")
    ] = None,
    union_file: UnionOption = None,
    release: ReleaseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Judge a bundle, a union or a release on the positives of a time span, against the whole catalogue."""
    from features.channels import locate_bundles
    from training.evaluation import judge_ranker
    from training.intervals import mean_interval
    from training.recall_batch import choose_source

    if half not in ("tune", "report", "all"):
        raise BadInputError(f"--half {half} is none of tune, report, all")
    start, end = parse_span(days)
    located = locate_bundles(bundles or [], Settings())
    source = choose_source(located, union_file, release, moment=start, settings=Settings(), merge=merge or ())
    chosen = {"half": cast(Any, half), "cap": source.cap}
    judged = judge_ranker(source.ranker, source.rule, start, end, settings=Settings(), **chosen)
    if len(judged.main):
        judged.metrics.update(
            zip(("recall_at_50_low", "recall_at_50_high"), mean_interval(judged.main), strict=True)
        )
    if not as_json:
        _print_groups(judged.groups)
    report(judged.metrics | ({"groups": judged.groups} if as_json else {}), as_json)


@app.command()
def union(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]BUNDLE...", help="paths, or models: their newest; NAME of the channel"
        ),
    ],
    days: Annotated[str, typer.Option(metavar="A..B", help="days, or two ISO times with offset")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="JSON that publish and recall-batch read with --union")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the weights that fuse several bundles best: chosen on the half "tune", judged on "report"."""
    from features.channels import locate_bundles
    from features.stage import write_atomically
    from training.union import tune_union

    settings = Settings()
    located = locate_bundles(bundles, settings)
    found = tune_union(located, *parse_span(days), settings=settings)
    if out_file:
        write_atomically(out_file, found.merge.model_dump_json(indent=2))
    facts = {"bundles": found.bundles} | ({"out": str(out_file)} if out_file else {})
    report(found.report.metrics | found.merge.model_dump() | facts, as_json)


@app.command()
def backtest(
    model: Annotated[str, typer.Argument(help="a file of training/models, for example single_activation")],
    days: Annotated[str, typer.Argument(metavar="A..B", help="days to judge on, after a training each")],
    as_json: JsonFlag = False,
) -> None:
    """Replay history: for each day train MODEL on all days before it and judge it on that day."""
    from training.replay import read_replay, replay_day, summarize, table_of

    path = summarize([replay_day(model, day) for day in parse_days(days)])
    if not as_json:
        out.print(table_of(read_replay(path)))
    report({"summary": path}, as_json)


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
    report(facts | {"page": str(page), "failed": board.failed}, as_json)
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
    report(dataclasses.asdict(best) | {"repeat": f"facet train {model} --until {until} {line}"}, as_json)


@app.command("recall-batch")
def recall_batch(
    users: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Parquet with user_id int64")],
    as_of: MomentOption,
    out_file: Annotated[
        Path, typer.Option("--out", help="Parquet: user_id, rank, video_id, score, interest")
    ],
    bundles: Annotated[
        list[str] | None, typer.Option("--bundle", metavar="[NAME=]BUNDLE", help="several: also --union")
    ] = None,
    union_file: UnionOption = None,
    release: ReleaseOption = None,
    top_n: Annotated[int, typer.Option(min=1)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Candidates of many users from a bundle, a union or a release, and their histories before --as-of."""
    from features.stage import write_parquet
    from training.recall_batch import choose_source, read_users
    from training.recall_batch import recall_batch as run

    moment = parse_moment(as_of)
    source = choose_source(bundles or [], union_file, release, moment=moment, settings=Settings())
    rows = run(source, read_users(users), moment, top_n, settings=Settings())
    write_parquet(rows, out_file)
    report({"rows": rows.num_rows, "out": str(out_file)}, as_json)


def _print_groups(groups: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> None:
    table = Table("grouping", "group", "users", "recall_at_50", "ndcg_at_50", box=None)
    for grouping, members in groups.items():
        for label, metrics in members.items():
            figures = [figure(metrics.get(name)) for name in ("recall_at_50", "ndcg_at_50")]
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
