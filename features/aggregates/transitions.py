"""Item-item pairs by order: how often video b follows video a among the positives of a user.

A pair belongs to the day of its second watch; the first may lie on the day before, so that midnight
UTC, which is the middle of the day elsewhere, cuts nothing. Pairs are what is known now, late events
included: whoever trains on them reads curated watches, not what had arrived on a day.
"""

import ibis
import ibis.expr.types as ir
from ibis.expr.builders import LegacyWindowBuilder

from features.aggregates.columns import DAY_NUMBER, FROM_END, FROM_VIDEO, PAIRS, SECONDS, TO_VIDEO
from features.aggregates.config import AggregatesConfig
from features.schema import USER_ID, VIDEO_ID

SESSION = "session"


def daily_pairs(positives: ir.Table, *, day_number: int, config: AggregatesConfig) -> ir.Table:
    """``from_video_id, to_video_id, pairs`` of one day; a video does not follow itself.

    Args:
        positives: of the day and of the day before, see ``partials.positives``.
    """
    is_today = positives[DAY_NUMBER] == day_number
    near = positives.filter(is_today | (positives[FROM_END] < config.pair_places))
    rows = _with_sessions(near, config.pair_gap_minutes)
    before = [_video_before(rows, places) for places in range(1, config.pair_places + 1)]
    found = rows.select(VIDEO_ID, DAY_NUMBER, **{FROM_VIDEO: ibis.array(before)})
    found = found.filter(found[DAY_NUMBER] == day_number)
    pairs = found.select(found[FROM_VIDEO].unnest().name(FROM_VIDEO), found[VIDEO_ID].name(TO_VIDEO))
    pairs = pairs.filter(pairs[FROM_VIDEO].notnull(), pairs[FROM_VIDEO] != pairs[TO_VIDEO])
    return pairs.group_by(FROM_VIDEO, TO_VIDEO).aggregate(**{PAIRS: pairs.count()})


def total_pairs(daily: ir.Table) -> ir.Table:
    """Pairs of several days, added up and sorted."""
    totals = daily.group_by(FROM_VIDEO, TO_VIDEO).aggregate(**{PAIRS: daily[PAIRS].sum().cast("int64")})
    return totals.order_by(FROM_VIDEO, TO_VIDEO)


def _with_sessions(rows: ir.Table, gap_minutes: float | None) -> ir.Table:
    """Number the sessions of every user: one more after each pause longer than ``gap_minutes``."""
    if gap_minutes is None:
        return rows.mutate(**{SESSION: ibis.literal(0, type="int64")})
    pause = rows[SECONDS] - rows[SECONDS].lag().over(_in_order(rows))
    paused = rows.mutate(**{SESSION: (pause > gap_minutes * 60).fill_null(False).cast("int64")})
    so_far = _in_order(paused, preceding=None, following=0)
    return paused.mutate(**{SESSION: paused[SESSION].sum().over(so_far)})


def _video_before(rows: ir.Table, places: int) -> ir.IntegerValue:
    """The video that the user watched ``places`` positives before, in the same session; or null."""
    window = _in_order(rows)
    same = rows[SESSION].lag(places).over(window) == rows[SESSION]
    return same.ifelse(rows[VIDEO_ID].lag(places).over(window), ibis.null("int64"))


def _in_order(rows: ir.Table, **frame: int | None) -> LegacyWindowBuilder:
    """The positives of one user, oldest first."""
    return ibis.window(group_by=USER_ID, order_by=[rows[DAY_NUMBER], rows[FROM_END].desc()], **frame)
