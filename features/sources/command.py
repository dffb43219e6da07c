"""The command ``facet import``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from features.console import JsonFlag, report
from features.home_lock import shared_home
from features.schema import WATCHES
from features.settings import Settings


def import_logs(
    source: Annotated[str, typer.Argument(help="kuairand, kuairec, microlens, movielens or csv")],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", exists=True, help="folder of the log's files; csv: a file, too")
    ],
    map_file: Annotated[
        Path | None,
        typer.Option("--map", metavar="MAP.toml", exists=True, dir_okay=False, help="csv: the column map"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn a log into landing files, one per table and UTC day; then run `facet ingest` over these days.

    kuairand, kuairec, microlens and movielens read the official layout of these public logs.

    csv reads any CSV, TSV or Parquet file (plain, gzip, bzip2, zstd) by a column map, which says which column
    is which; see "Importing your own logs" in docs/data.md. The smallest one:

    \b
        source = "myapp"
        [watches.columns]
        user_id = "uid"
        video_id = "clip"
        event_time = { column = "ts", unit = "ms" }

    No row is dropped: a value that does not fit lands as it is, and ingest puts it in quarantine with the
    reason. Importing the same file again changes nothing.
    """
    from features.sources.registry import import_source

    settings = Settings()
    with shared_home(settings):
        facts = import_source(source, path, settings, map_file)
    report(facts if as_json else _summary(facts), as_json)


def _summary(facts: dict[str, Any]) -> dict[str, Any]:
    """What fits on a screen: a log may have thousands of days."""
    days = facts.get("days", {}).get(WATCHES) or facts.get("utc_days") or {}
    return {
        "files": len(facts["files"]),
        "rows": sum(facts["files"].values()),
        "lines that are no rows": sum(facts.get("rejected", {}).values()),
        "landing days": f"{min(days)}..{max(days)} ({len(days)})" if days else "see the map's snapshot_day",
        "seconds": facts["seconds"],
    }
