"""Snapshots stay what they are when a user leaves them: they are not made again because the lake changed.

Each is noted with a sum over the rows that it was made of. The rows of all others are the same, so what was
up to date before an erasure is noted with the new sum after it. (Statistics of videos over earlier days go
on counting plays of erased users: sums over many people, which name nobody.) After a kill in between, the
next materialize makes the snapshots again, which costs time only.
"""

import json
from collections.abc import Mapping

import duckdb

from features.landed import sources_of
from features.materialize import SOURCES, noted_sources
from features.settings import Settings
from features.stage import write_atomically


def sources_now(settings: Settings) -> dict[str, str]:
    """The sum of every day whose snapshot is up to date."""
    noted = noted_sources(settings)
    now = sources_of(sorted(noted), settings) if (settings.lake).exists() else {}
    return {day: noted[day] for day in noted if now.get(day) == noted[day]}


def note_sources(before: Mapping[str, str], settings: Settings) -> None:
    """Note the sums of today for the days of ``before``, for what is online too."""
    if not before:
        return
    now = sources_of(sorted(before), settings)
    for path in sorted(settings.feast.glob("online_rows-*.duckdb")):
        with duckdb.connect(str(path)) as ledger:
            for day, source in before.items():
                ledger.execute(
                    "UPDATE days SET source = ? WHERE day = ? AND source = ?", [now[day], day, source]
                )
    write_atomically(settings.feast / SOURCES, json.dumps(noted_sources(settings) | now, indent=1))
