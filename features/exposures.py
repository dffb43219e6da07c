"""What a watch does not say of its channel and interest, its exposure does: equal ``request_id`` and
``video_id``.

Ingest fills both columns whenever it builds a partition of watches, from the exposures of the same UTC day
and of the day before (a watch soon after midnight was shown before it). Exposures may arrive before their
watches, with them or days later: then the partitions of watches that they belong to are built again.
``extra`` of a watch notes which of its columns were filled, and they are emptied before they are filled
anew. So a partition depends on what landed, not on the order in which it was ingested.
"""

from collections.abc import Sequence
from typing import Final

from features.days import add_days
from features.errors import StaleStageError
from features.lake import Lake
from features.schema import CHANNEL, EVENT_TIME, EXPOSURES, EXTRA, INTEREST, REQUEST_ID, VIDEO_ID, WATCHES
from features.stage import Partition

FROM_EXPOSURE: Final = "from_exposure"
"""Key in ``extra`` of a watch: the columns that were filled."""
FILLED: Final = (CHANNEL, INTEREST)
REACH_DAYS: Final = 1
"""A watch is looked for on the day of its exposure and on so many days after it."""
_NOTE: Final = f"""coalesce(json_extract_string({EXTRA}, '$.{FROM_EXPOSURE}'), '')"""


def exposure_days(day: str) -> list[str]:
    """Days whose exposures may belong to watches of ``day``."""
    return [add_days(day, -age) for age in range(REACH_DAYS + 1)]


def watch_days(day: str) -> list[str]:
    """Days whose watches may belong to exposures of ``day``."""
    return [add_days(day, age) for age in range(REACH_DAYS + 1)]


def filled_sql(watches: str, exposures: str) -> str:
    """Query of ``watches`` with all their columns, filled.

    Args:
        watches: a relation with at least the columns of curated watches.
        exposures: a relation of curated exposures; of several with one key the newest counts.
    """
    return f"""
        SELECT own.* REPLACE ({", ".join(f"{_filled(name)} AS {name}" for name in FILLED)},
                              {_noted()} AS {EXTRA})
        FROM ({own_sql(watches)}) AS own
        LEFT JOIN (SELECT {REQUEST_ID}, {VIDEO_ID}, max_by(({CHANNEL}, {INTEREST}), {EVENT_TIME}) AS shown
                   FROM {exposures} SEMI JOIN {watches} USING ({REQUEST_ID}, {VIDEO_ID}) GROUP BY ALL
        ) AS exposure USING ({REQUEST_ID}, {VIDEO_ID})
    """


def own_sql(watches: str) -> str:
    """Query of ``watches`` without what was filled in."""
    own = [f"CASE WHEN contains({_NOTE}, '{name}') THEN NULL ELSE {name} END AS {name}" for name in FILLED]
    rest = f"nullif(json_merge_patch({EXTRA}, '{{\"{FROM_EXPOSURE}\": null}}')::VARCHAR, '{{}}')"
    return f"""
        SELECT * REPLACE ({", ".join(own)}, CASE WHEN {_NOTE} = '' THEN {EXTRA} ELSE {rest} END AS {EXTRA})
        FROM {watches}
    """


def require_current(lake: Lake, partitions: Sequence[Partition]) -> None:
    """Refuse a stage if exposures of its watches, or watches of its exposures, changed since.

    Raises:
        StaleStageError: another ingest committed days beside these; stage again.
    """
    staged = {(partition.table, partition.day) for partition in partitions}
    for partition in partitions:
        for day, files in partition.exposure_files.items():
            if lake.partition_files(EXPOSURES, day) != files:
                raise StaleStageError(f"exposures of {day} changed; ingest {partition.day} again")
    shown = {day for table, exposed in staged if table == EXPOSURES for day in watch_days(exposed)}
    new = {day for day in shown & lake.day_counts(WATCHES).keys() if (WATCHES, day) not in staged}
    if new:
        raise StaleStageError(
            f"watches of {', '.join(sorted(new))} came meanwhile; ingest their exposures again"
        )


def _filled(name: str) -> str:
    return f"coalesce(own.{name}, exposure.shown[{FILLED.index(name) + 1}])"


def _noted() -> str:
    names = ", ".join(
        f"CASE WHEN own.{name} IS NULL AND {_filled(name)} IS NOT NULL THEN '{name}' END" for name in FILLED
    )
    note = f"concat_ws(' ', {names})"
    patch = f"json_object('{FROM_EXPOSURE}', {note})"
    merged = f"json_merge_patch(coalesce(own.{EXTRA}, '{{}}'), {patch})::VARCHAR"
    return f"CASE WHEN {note} = '' THEN own.{EXTRA} ELSE {merged} END"
