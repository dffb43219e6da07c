"""Commands about logs and features."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from features.console import JsonFlag, out, report
from features.days import add_days, day_of, parse_days
from features.errors import BadInputError
from features.quarantine_command import quarantine_app, validate_command
from features.settings import Settings
from features.sources.command import import_logs

app = typer.Typer()


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
    simulated = run(config, Settings())
    facts = {
        "events": simulated.num_events,
        "first_day": simulated.days[0],
        "last_day": simulated.days[-1],
        "landing": str(Settings().landing),
    }
    report(facts, as_json)


app.command("import")(import_logs)
app.command("validate")(validate_command)
app.add_typer(quarantine_app, name="quarantine")


@app.command()
def ingest(
    days: Annotated[
        str | None,
        typer.Argument(metavar="[A..B]", help="landing days; those with new or changed files if unset"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Landing files to curated day partitions: typed, deduplicated, checked; bad rows to quarantine."""
    from features.ingest import ingest as run
    from features.lake import Lake

    settings = Settings()
    staged = run(parse_days(days) if days else None, settings=settings)
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
    report(
        totals
        | {"balanced": all(count.balanced for count in staged.counts)}
        | ({"counts": [c.model_dump() for c in staged.counts], "partitions": partitions} if as_json else {}),
        as_json,
    )


@app.command()
def clean(
    keep_days: Annotated[int, typer.Option(min=1, help="younger things stay")] = 7, as_json: JsonFlag = False
) -> None:
    """Delete table versions that no bundle needs, and what killed runs left behind."""
    from features.housekeeping import clean as run

    report(dataclasses.asdict(run(settings=Settings(), keep_days=keep_days)), as_json)


@app.command()
def forget(
    users: Annotated[list[int] | None, typer.Argument(metavar="[USER]...", help="user ids")] = None,
    source: Annotated[str | None, typer.Option(help="what --id means: the `source` of an import")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="a user as the source calls them")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Erase users from landing, lake, quarantine, features, bundles and reports; see docs/erasing.md."""
    from features.forget import find_users
    from features.forget import forget as run

    if bool(source) != bool(ids):
        raise BadInputError("--source NAME and --id TEXT belong together")
    settings = Settings()
    found = find_users(settings, users or [], [(source or "", text) for text in ids or []])
    erased = run(found, settings=settings)
    shown = erased.rows | {"not repeatable": ", ".join(erased.unrepeatable) or "no bundle became so"}
    report(dataclasses.asdict(erased) if as_json else shown, as_json)


@app.command()
def materialize(
    day: Annotated[
        str | None, typer.Argument(metavar="[DAY]", help="the newest that is ingested if unset")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Build the features of DAY, and of earlier days that lack them, and fill the online store."""
    from features.freshness import newest_ingested_day
    from features.materialize import materialize as run

    settings = Settings()
    days = parse_days(day) if day else [newest_ingested_day(settings)]
    report({"day": run(days, settings=settings), "feature_store": str(settings.feast)}, as_json)


@app.command()
def register(
    bundle: Annotated[Path, typer.Argument(exists=True, file_okay=False)], as_json: JsonFlag = False
) -> None:
    """Let look-ups in the feature store name BUNDLE: its feature service and its rows of users."""
    from features.bundle import open_bundle
    from features.store import FeatureStore

    opened = open_bundle(bundle)
    FeatureStore(Settings()).register_bundle(opened)
    report({"bundle": opened.name, "feature_store": str(Settings().feast)}, as_json)


def _print_counts(counts: list[dict[str, Any]]) -> None:
    table = Table(
        "landing day", "table", "read", "kept", "duplicate", "quarantined", "most frequent rule", box=None
    )
    for count in counts:
        numbers = [f"{count[name]:,}" for name in ("read", "kept", "duplicate", "quarantined")]
        worst = max(count["rules"], key=count["rules"].get, default="")
        table.add_row(count["landing_day"], count["table"], *numbers, worst)
    out.print(table)
