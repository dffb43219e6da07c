"""What one day adds: small sums per entity, which windows of any length are made of.

Rows are kept apart by landing day, so that a window as of an earlier day leaves out what came later.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from features.aggregates.columns import (
    COMPLETION,
    COUNTS,
    DAY_NUMBER,
    FROM_END,
    LONG_WATCHES,
    PLAYS,
    SECONDS,
    known_of,
)
from features.schema import EVENT_ID, EVENT_TIME, LANDING_DAY, USER_ID, VIDEO_ID


def counts(plays: ir.Table, entity: str) -> ir.Table:
    """Per ``entity`` and landing day: plays, and of every flag how often it is true and how often known."""
    sums: dict[str, ir.Value] = {PLAYS: plays.count()}
    for name in COUNTS:
        sums |= _true_and_known(plays, name)
    sums[COMPLETION] = plays[COMPLETION].sum().fill_null(0).cast("int64")
    sums[known_of(COMPLETION)] = plays[COMPLETION].count()
    return plays.group_by(entity, LANDING_DAY).aggregate(**sums)


def user_videos(plays: ir.Table) -> ir.Table:
    """Per user, video and landing day: plays and long watches. Distinct users are counted on these."""
    sums = {PLAYS: plays.count()} | _true_and_known(plays, LONG_WATCHES)
    return plays.group_by(USER_ID, VIDEO_ID, LANDING_DAY).aggregate(**sums)


def regrouped(rows: ir.Table, attribute: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Sums per video carried over to an attribute of the videos; a video without it drops out.

    Args:
        rows: result of ``counts`` or ``user_videos``.
        attribute: result of ``uploaders_of`` or ``tags_of``.
        keys: new keys, besides the landing day.
    """
    joined = rows.join(attribute, VIDEO_ID)
    sums = [name for name in rows.columns if name not in (USER_ID, VIDEO_ID, LANDING_DAY)]
    return joined.group_by(*keys, LANDING_DAY).aggregate(
        **{name: joined[name].sum().cast("int64") for name in sums}
    )


def positives(plays: ir.Table) -> ir.Table:
    """Positives with their place in the user's day, counted from its end."""
    found = plays.filter(plays[LONG_WATCHES])
    newest_first = [found[EVENT_TIME].desc(), found[EVENT_ID].desc()]
    place = ibis.row_number().over(group_by=USER_ID, order_by=newest_first)
    seconds = found[EVENT_TIME].epoch_seconds().cast("int64")
    return found.select(USER_ID, VIDEO_ID, **{SECONDS: seconds, FROM_END: place.cast("int64")})


def of_day(rows: ir.Table, day_number: int) -> ir.Table:
    """``rows`` with the number of their event day."""
    return rows.mutate(**{DAY_NUMBER: ibis.literal(day_number, type="int32")})


def _true_and_known(plays: ir.Table, name: str) -> dict[str, ir.Value]:
    # Spark's conditional count is null, not 0, where all flags are null.
    true = plays.count(where=plays[name]).fill_null(0)
    return {name: true, known_of(name): plays[name].count()}
