"""How many distinct users an entity reached in a window, from what single days store.

A user counts once in a window: on the first day of it that they come. So a day stores, per entity, how many
of its users were last seen how many days before (``gap``; at least 30 if not within 30 days), and a window
of w days adds up those whose last visit lies before it: age + gap >= w. That is exact, and as small as a
count. Where a late row shortens a gap afterwards, the day holds a correction: -1 for the old gap and +1 for
the new one from the landing day on which both visits were known.
"""

import ibis
import ibis.expr.types as ir

from features.aggregates.columns import DAY_NUMBER, GAP, USERS_SEEN, WINDOWS
from features.schema import LANDING_DAY, USER_ID

PRIOR = "prior_gap"
NEVER = WINDOWS[-1]
"""Gap of a user who was not seen in a whole longest window."""


def visits(today: ir.Table, earlier: ir.Table | None, other: str, day_number: int) -> ir.Table:
    """``user_id, <other>, landing_day, gap, prior_gap``: gaps as they became known, prior null at first.

    Args:
        today: distinct users and videos, uploaders or tags of a day, by landing day.
        earlier: the same of the 29 days before it, with their day numbers; ``None`` if there are none.
        other: key of the video, uploader or tag.
    """
    pair = [USER_ID, other]
    came = today.group_by(pair).aggregate(came=today[LANDING_DAY].min())
    rows = came.select(*pair, **{LANDING_DAY: came.came, GAP: ibis.literal(NEVER, type="int32")})
    if earlier is not None:
        met = earlier.join(came, pair)
        known = ibis.greatest(met[LANDING_DAY], met.came)
        met = met.select(*pair, **{LANDING_DAY: known, GAP: (day_number - met[DAY_NUMBER]).cast("int32")})
        nearest = met.group_by(*pair, LANDING_DAY).aggregate(**{GAP: met[GAP].min()})
        rows = rows.union(nearest)
    order = [rows[LANDING_DAY], rows[GAP].desc()]
    so_far = ibis.window(group_by=pair, order_by=order, preceding=(None, 1))
    found = rows.mutate(**{PRIOR: rows[GAP].min().over(so_far)})
    return found.filter(found[PRIOR].isnull() | (found[GAP] < found[PRIOR]))


def reach(found: ir.Table, entity: str) -> ir.Table:
    """``<entity>, landing_day, gap, users_seen`` of one day, from its ``visits``."""
    one = ibis.literal(1, type="int64")
    came = found.select(entity, LANDING_DAY, GAP, **{USERS_SEEN: one})
    again = found.filter(found[PRIOR].notnull())
    taken_back = again.select(entity, LANDING_DAY, **{GAP: again[PRIOR], USERS_SEEN: -one})
    rows = came.union(taken_back)
    sums = rows.group_by(entity, LANDING_DAY, GAP).aggregate(
        **{USERS_SEEN: rows[USERS_SEEN].sum().cast("int64")}
    )
    return sums.filter(sums[USERS_SEEN] != 0)
