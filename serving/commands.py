"""Commands about releases: publish, go back, ask, run."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from features.console import JsonFlag, out, report, say
from features.errors import BadInputError
from features.settings import Settings
from features.sources.names import SourceNames

app = typer.Typer()


@app.command()
def publish(
    bundles: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]BUNDLE...", help="paths, or models: their newest; NAME of the channel"
        ),
    ],
    merge: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="weights=interests:.6,ease:.4  fusion=...  depth=..."),
    ] = None,
    union_file: Annotated[
        Path | None, typer.Option("--union", exists=True, dir_okay=False, help="written by facet union")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Load the bundles into Milvus, verify them, make them the current release and draw its map."""
    from features.channels import locate_bundles
    from features.merge_config import parse_merge, read_merge_config
    from serving.publish import publish as run
    from serving.video_map import draw_live_map

    if merge and union_file:
        raise BadInputError("--merge and --union say the same thing twice; give one of them")
    asked = parse_merge(merge) if merge else read_merge_config(union_file) if union_file else None
    settings = Settings()
    version = run(locate_bundles(bundles, settings), settings=settings, merge=asked)
    draw_live_map(settings)
    report({"release": version}, as_json)


@app.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="a kept release; what the live one replaced if unset")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an earlier release the current one."""
    from serving.embedded import milvus_server
    from serving.publish import rollback as run
    from serving.settings import ServingSettings

    settings, serving = Settings(), ServingSettings()
    with milvus_server(serving, settings):
        report({"release": run(version, settings=settings, serving_settings=serving)}, as_json)


@app.command()
def catalogue(
    day: Annotated[str | None, typer.Option(metavar="DAY", help="newest snapshot up to it")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Bring new, changed and withdrawn videos into every kept release, without a new model."""
    from features.days import parse_days
    from serving.renewal import renew_catalogue

    renewal = renew_catalogue(parse_days(day)[-1] if day else None, settings=Settings())
    found = {name: dataclasses.asdict(done) for name, done in renewal.bundles.items()}
    report({"snapshot": renewal.day, "bundles": found}, as_json)


@app.command()
def recall(
    user: Annotated[str, typer.Argument(metavar="USER", help="id; with --source its name there")],
    top_n: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    explain: Annotated[bool, typer.Option("--explain", help="show the interests behind the list")] = False,
    source: Annotated[
        str | None, typer.Option(help="name users, videos and tags as this imported log does")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Candidates of one user from the current release, and which interest found each."""
    from serving.run import keep_out

    names = SourceNames(Settings(), source) if source else None
    user_id = names.user_id(user) if names else _as_user_id(user)
    import msgspec

    keep_out(("torch", "mlflow"))  # Feast imports torch wherever it is installed; seconds that nobody needs
    from serving.embedded import milvus_server
    from serving.recall import open_recaller
    from serving.settings import ServingSettings

    settings, serving = Settings(), ServingSettings()
    with milvus_server(serving, settings):
        result = open_recaller(settings, serving).recall(user_id, top_n, explain)
    _print_recall(msgspec.to_builtins(result), names, as_json)


@app.command("map")
def draw_map(
    bundle: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="the live release's if unset")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw the explorer's map of a bundle's videos again (t-SNE of the most popular ones)."""
    from serving.video_map import draw_map as run

    report({"map": str(run(Settings(), bundle))}, as_json)


@app.command()
def serve(
    milvus: Annotated[
        bool, typer.Option(help="start Milvus Lite where nothing answers on this machine")
    ] = True,
) -> None:
    """Run the HTTP API of the current release, over the Milvus of FACET_MILVUS_URI."""
    from serving.run import serve as run

    run(keep_milvus=milvus)


@app.command()
def up() -> None:
    """Run everything on this machine: Airflow, Milvus Lite, MLflow, Feast UI and the API; Ctrl-C ends it."""
    from serving.pages.examples import explorer_url
    from serving.stack import run_stack

    with run_stack(Settings()) as stack:
        for endpoint in stack.endpoints.values():
            out.print(f"{endpoint.title:<12} {endpoint.url}")
        out.print(f"{'Explorer':<12} {explorer_url(Settings(), stack.endpoints['serving'].url)}")
        stack.wait()


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def airflow(context: typer.Context) -> None:
    """Run an airflow command in the environment of this home's stack: facet airflow backfill create ..."""
    from serving.airflow import become_airflow

    become_airflow(context.args, Settings())


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Check everything that Facet needs, and say what to do about what is missing."""
    from serving.doctor import examine

    findings = examine(Settings())
    for finding in findings:
        mark = "ok " if finding.is_well else ("!! " if finding.is_required else "-- ")
        say(f"{mark} {finding.subject:<24} {finding.text}", as_json)
    failed = [finding.subject for finding in findings if finding.is_required and not finding.is_well]
    report({"failed": failed, "checked": len(findings)}, as_json)
    if failed:
        raise typer.Exit(1)


def _as_user_id(text: str) -> int:
    if not text.isdecimal():
        raise BadInputError(
            f"{text!r} is no user id (a number from 0); for users of an imported log say --source NAME, too"
        )
    return int(text)


def _print_recall(result: dict[str, Any], names: SourceNames | None, as_json: bool) -> None:
    if as_json:
        report(result, as_json)
        return
    video, tag = (names.video, names.tag) if names else (str, str)
    out.print(
        f"user {result['user_id']}, release {result['release']}"
        + (f", {result['reason']}" if result["reason"] else "")
    )
    for interest in result["interests"]:
        grounds = interest.pop("grounds") or {}
        facts = interest | grounds
        facts["top_tags"] = " ".join(map(tag, facts["top_tags"]))
        facts["nearest"] = " ".join(map(video, facts["nearest"]))
        out.print("  " + ", ".join(f"{name} {_short(value)}" for name, value in facts.items()))
    table = Table("rank", "video", "score", "found by", "tags", box=None)
    for rank, candidate in enumerate(result["candidates"]):
        found_by = ", ".join(_origin(origin) for origin in candidate["channels"])
        tags = ", ".join(map(tag, candidate["tags"] or []))
        table.add_row(str(rank), video(candidate["video_id"]), f"{candidate['score']:.3f}", found_by, tags)
    out.print(table)


def _short(value: Any) -> str:  # noqa: ANN401  whatever an interest is described by
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _origin(origin: dict[str, Any]) -> str:
    interests = "+".join(map(str, origin["interests"]))
    return f"{origin['channel']} {interests}".strip()
