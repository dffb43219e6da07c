"""Commands about checks and refused rows: ``facet validate`` and ``facet quarantine``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from features.console import DaysArgument, JsonFlag, out, report, say
from features.days import parse_days
from features.errors import BadInputError
from features.schema import SCHEMAS
from features.settings import Settings

quarantine_app = typer.Typer(
    help="Rows that ingest refused: list, show, export, replay.", no_args_is_help=True
)

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help=", ".join(SCHEMAS))]
DayArgument = Annotated[str, typer.Argument(metavar="DAY", help="landing day")]
RuleOption = Annotated[str | None, typer.Option(help="only rules that contain this text")]


def validate_command(
    days: Annotated[str | None, typer.Argument(metavar="A..B", help="days of the lake")] = None,
    stage: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="a staged folder")] = None,
    all_results: Annotated[bool, typer.Option("--all", help="also show what passed")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check what the lake holds of A..B, or a stage: PASS, WARN or FAIL; exit code 1 on FAIL."""
    from features.validation import check_days, check_stage
    from features.validation.page import write_page

    if (days is None) == (stage is None):
        raise BadInputError("name either days (A..B) or --stage FOLDER")
    settings = Settings()
    run = check_stage(stage, settings) if stage else check_days(parse_days(days or ""), settings)
    page = write_page(settings)
    if not as_json:
        for line in run.lines(all_results=all_results):
            out.print(line, markup=False)
    verdict = "FAIL" if run.blocking else "PASS"
    report(
        {
            "verdict": verdict,
            "expectations": len(run.results),
            "failed": len(run.blocking),
            "warnings": len(run.warnings),
            "data_docs": run.data_docs,
            "page": page.as_uri(),
        }
        | ({"results": [result.model_dump() for result in run.results]} if as_json else {}),
        as_json,
    )
    if run.blocking:
        raise typer.Exit(1)


@quarantine_app.command("list")
def list_command(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help=", ".join(SCHEMAS))] = None,
    as_json: JsonFlag = False,
) -> None:
    """Count refused rows by table, landing day and rule."""
    from features.quarantine import rule_counts

    counts = rule_counts(Settings(), table)
    if not as_json:
        shown = Table("table", "landing day", "rule", "rows", box=None)
        for count in counts:
            shown.add_row(count.table, count.landing_day, count.rule, f"{count.rows:,}")
        out.print(shown)
    listed = [
        {"table": count.table, "landing_day": count.landing_day, "rule": count.rule, "rows": count.rows}
        for count in counts
    ]
    report({"rows": sum(count.rows for count in counts)} | ({"counts": listed} if as_json else {}), as_json)


@quarantine_app.command("show")
def show_command(
    table: TableArgument,
    day: DayArgument,
    rule: RuleOption = None,
    limit: Annotated[int, typer.Option(min=1, help="rows")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show refused rows of a landing day: file, line, rule and raw text."""
    from features.quarantine import refused_rows

    rows = refused_rows(table, day, Settings(), rule=rule, limit=limit)
    for row in rows if not as_json else []:
        out.print(f"{row.file}:{row.line}: {row.rule}\n    {row.raw}", markup=False)
    listed = [{"file": row.file, "line": row.line, "rule": row.rule, "raw": row.raw} for row in rows]
    report({"shown": len(rows)} | ({"rows": listed} if as_json else {}), as_json)


@quarantine_app.command("export")
def export_command(
    table: TableArgument,
    day: DayArgument,
    out_path: Annotated[Path, typer.Option("--out", help="JSONL file to write")],
    rule: RuleOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the refused rows of a landing day to a file; mend `row` in its lines, then replay it."""
    from features.quarantine import export_rows

    report({"rows": export_rows(table, day, out_path, Settings(), rule=rule), "file": str(out_path)}, as_json)


@quarantine_app.command("replay")
def replay_command(
    table: TableArgument,
    days: DaysArgument,
    repaired: Annotated[
        Path | None, typer.Option("--from", exists=True, dir_okay=False, help="a mended export")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Give mended rows back and ingest their day; without --from, ingest A..B by today's rules and files."""
    from features.ingest import ingest
    from features.quarantine import replay, rule_counts

    settings, wanted = Settings(), parse_days(days)
    if repaired:
        if len(wanted) != 1:
            raise BadInputError(f"--from is about one landing day, not {days}")
        done = replay(table, wanted[0], repaired, settings)
        report(
            {"repaired": done.repaired, "landing_file": done.file, "still_refused": done.still_refused},
            as_json,
        )
        return
    before = sum(count.rows for count in rule_counts(settings, table) if count.landing_day in wanted)
    ingest(wanted, settings=settings)
    after = sum(count.rows for count in rule_counts(settings, table) if count.landing_day in wanted)
    say(f"{table} {days}: {before} rows were refused, {after} are now", as_json)
    report({"refused_before": before, "still_refused": after}, as_json)
