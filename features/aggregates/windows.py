"""Statistics of an entity over the last 1, 7 and 30 days, from what single days stored.

A rate is smoothed towards the rate g of all rows: (k + m g) / (n + m) with k events among the n plays on
which the flag is known, m = ``rate_prior``. So an entity without a known play has the global rate, and where
nobody's flag is known the rate is null. Trend: plays of the last day against the daily mean of the last
week, both plus ``trend_prior``; above 1 means rising.
"""

import ibis.expr.types as ir

from features.aggregates.columns import (
    AGE,
    COMPLETION,
    COUNTS,
    DAY_NUMBER,
    PLAYS,
    RATES,
    TREND,
    WINDOWS,
    count_columns,
    known_of,
    rate_columns,
    unique_of,
)
from features.aggregates.config import AggregatesConfig
from features.aggregates.plays import MICROS
from features.schema import LANDING_DAY, USER_ID, VIDEO_ID

SUMS = (PLAYS, *COUNTS, *(known_of(name) for name in COUNTS), COMPLETION, known_of(COMPLETION))


def known_on(rows: ir.Table, day: str, day_number: int) -> ir.Table:
    """Rows of the longest window that ends with ``day`` which had landed by then, with their age in days."""
    aged = rows.mutate(**{AGE: (day_number - rows[DAY_NUMBER]).cast("int32")})
    kept = aged.filter(aged[LANDING_DAY] <= day, aged[AGE] >= 0, aged[AGE] < WINDOWS[-1])
    return kept.drop(LANDING_DAY, DAY_NUMBER)


def entity_stats(counts: ir.Table, pairs: ir.Table, *, entity: str, config: AggregatesConfig) -> ir.Table:
    """One row per ``entity`` with a play in the last 30 days, sorted: ``count_columns``, ``rate_columns``.

    Args:
        counts: what is known of ``partials.counts``.
        pairs: what is known of users with ``entity`` (for users: with videos).
    """
    sums, unique = _sums(counts, entity), _unique(pairs, entity)
    joined = sums.join(unique, entity)
    totals = sums.aggregate(**{_total(name): sums[name].sum().cast("int64") for name in sums.columns[1:]})
    rows = joined.cross_join(totals)
    rates = {
        f"{rate}_{window}d": _smoothed(rows, name, window, config.rate_prior)
        for rate, name in RATES.items()
        for window in WINDOWS
    }
    recent, usual = rows[f"{PLAYS}_1d"].cast("float64"), rows[f"{PLAYS}_7d"].cast("float64") / 7
    trend = (recent + config.trend_prior) / (usual + config.trend_prior)
    result = rows.mutate(**rates, **{TREND: trend})
    return result.select(entity, *count_columns(entity), *rate_columns()).order_by(entity)


def _sums(rows: ir.Table, entity: str) -> ir.Table:
    return rows.group_by(entity).aggregate(
        **{
            f"{name}_{window}d": rows[name].sum(where=rows[AGE] < window).fill_null(0).cast("int64")
            for name in SUMS
            for window in WINDOWS
        }
    )


def _unique(pairs: ir.Table, entity: str) -> ir.Table:
    """A pair counts in a window if its newest day lies in it; so one pass serves all windows."""
    other = VIDEO_ID if entity == USER_ID else USER_ID
    newest = pairs.group_by(entity, other).aggregate(**{AGE: pairs[AGE].min()})
    return newest.group_by(entity).aggregate(
        **{
            f"{unique_of(entity)}_{window}d": newest.count(where=newest[AGE] < window).fill_null(0)
            for window in WINDOWS
        }
    )


def _smoothed(rows: ir.Table, name: str, window: int, prior: float) -> ir.FloatingValue:
    events, known = f"{name}_{window}d", f"{known_of(name)}_{window}d"
    unit = float(MICROS) if name == COMPLETION else 1.0
    everywhere = _real(rows, _total(events), unit) / _real(rows, _total(known)).nullif(0.0)
    return (_real(rows, events, unit) + prior * everywhere) / (_real(rows, known) + prior).nullif(0.0)


def _real(rows: ir.Table, name: str, unit: float = 1.0) -> ir.FloatingValue:
    return rows[name].cast("float64") / unit


def _total(name: str) -> str:
    return f"all_{name}"
