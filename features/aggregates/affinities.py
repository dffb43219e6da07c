"""What a user leans to: decayed and smoothed affinities to uploaders and tags.

A watch of age a days weighs 0.5 ** (a / half life), as a whole number of 2 ** -20: sums are then exact, in
any order, on any engine. With P(u, t) the weighted positives of user u on tag t, K(u, t) the weighted plays
of which it is known whether they were positive, and m = ``affinity_prior``:

share(u, t)           = (P(u, t) + m P(., t) / P(., .)) / (P(u, .) + m)
long_watch_rate(u, t) = (P(u, t) + m P(., .) / K(., .)) / (K(u, t) + m)
"""

from typing import Final

import ibis
import ibis.expr.types as ir

from features.aggregates.columns import (
    AGE,
    LONG_WATCH_RATE,
    LONG_WATCHES,
    PLAYS,
    SHARE,
    WINDOWS,
    known_of,
)
from features.aggregates.config import AggregatesConfig
from features.schema import RANK, USER_ID

UNIT: Final = 2**20
"""Weight of a watch of age 0."""


def weights(half_life_days: float) -> list[int]:
    """Weight of a watch by its age in days."""
    return [round(UNIT * 0.5 ** (age / half_life_days)) for age in range(WINDOWS[-1])]


def affinities(
    pairs: ir.Table, counts: ir.Table, *, entity: str, config: AggregatesConfig, top: int | None = None
) -> ir.Table:
    """``user_id, <entity>, plays, share, long_watch_rate`` per user, strongest first.

    Args:
        pairs: what is known of some users with ``entity``, see ``windows.known_on``.
        counts: what is known of ``entity`` from everybody.
        top: at most so many rows per user; all if unset.
    """
    per_pair = pairs.group_by(USER_ID, entity).aggregate(
        plays=pairs[PLAYS].sum().cast("int64"), **_weighted(pairs, config.affinity_half_life_days)
    )
    everybody = counts.group_by(entity).aggregate(**_weighted(counts, config.affinity_half_life_days))
    scored = _scored(per_pair, everybody, entity, config.affinity_prior * UNIT)
    rank = ibis.row_number().over(group_by=USER_ID, order_by=[scored[SHARE].desc(), scored[entity]])
    ranked = scored.mutate(**{RANK: rank})
    kept = ranked if top is None else ranked.filter(ranked[RANK] < top)
    return kept.order_by(USER_ID, RANK).drop(RANK)


def _weighted(rows: ir.Table, half_life_days: float) -> dict[str, ir.Value]:
    weight = ibis.literal(weights(half_life_days), type="array<int64>")[rows[AGE]]
    return {
        "positive": (weight * rows[LONG_WATCHES]).sum().cast("int64"),
        "known": (weight * rows[known_of(LONG_WATCHES)]).sum().cast("int64"),
    }


def _scored(pairs: ir.Table, everybody: ir.Table, entity: str, prior: float) -> ir.Table:
    users = pairs.group_by(USER_ID).aggregate(of_user=pairs.positive.sum().cast("int64"))
    entities = everybody.select(entity, of_entity=everybody.positive)
    total = everybody.aggregate(
        all_positive=everybody.positive.sum().cast("int64"), all_known=everybody.known.sum().cast("int64")
    )
    joined = pairs.join(users, USER_ID).join(entities, entity).cross_join(total)
    real = {name: joined[name].cast("float64") for name in joined.columns if name not in (USER_ID, entity)}
    usual_share = real["of_entity"] / real["all_positive"].nullif(0.0)
    usual_rate = real["all_positive"] / real["all_known"].nullif(0.0)
    return joined.select(
        USER_ID,
        entity,
        PLAYS,
        **{
            SHARE: (real["positive"] + prior * usual_share) / (real["of_user"] + prior),
            LONG_WATCH_RATE: (real["positive"] + prior * usual_rate) / (real["known"] + prior),
        },
    )
