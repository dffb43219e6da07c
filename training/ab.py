"""What the arms of an experiment brought: exposures joined with the watches that came of them.

A watch belongs to an exposure with its ``request_id`` and ``video_id``. Users are assigned as a whole, so
users are what is resampled: figures are ratios of sums over users, their intervals the bootstrap's (Efron and
Tibshirani, 1993) with Poisson weights (Chamandy et al., Estimating Uncertainty for Massive Data Streams,
VLDB 2012).

===============  ==============================================================================
figure           of an arm
===============  ==============================================================================
click_rate       exposures that were played / exposures
long_view_rate   exposures that were positives / exposures
like_rate        exposures that were liked / exposures
dislike_rate     exposures that were disliked / exposures
long_views       positives / users
tags_shown       distinct tags among the videos of one answer, per answer
tags_watched     distinct tags among all positives of a user, per user
===============  ==============================================================================

Shape letters: U users of one arm, S resamples, C columns, F figures.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import duckdb
import numpy as np
from jaxtyping import Float

from features.days import day_of
from features.errors import BadInputError
from features.experiment import experiment_between
from features.exposures import watch_days
from features.history import watches_with_actions
from features.lake import Lake, connect
from features.positives import Action
from features.release import open_registry
from features.schema import (
    ACTIONS,
    ARM,
    EVENT_ID,
    EVENT_TIME,
    EXPOSURES,
    REQUEST_ID,
    TAG_IDS,
    USER_ID,
    VIDEO_ID,
    VIDEOS,
    WATCHES,
)
from features.settings import Settings
from features.sql import literal
from training.intervals import LEVEL, NUM_RESAMPLES, SEED

USERS_PER_BLOCK: Final = 10_000
FIGURES: Final[dict[str, tuple[str, str]]] = {
    "click_rate": ("played", "shown"),
    "long_view_rate": ("positive", "shown"),
    "like_rate": ("liked", "shown"),
    "dislike_rate": ("disliked", "shown"),
    "long_views": ("positive", "users"),
    "tags_shown": ("tags_of_answers", "answers"),
    "tags_watched": ("tags_of_positives", "users"),
}
"""Numerator and denominator, both sums over users."""
Ratios = tuple[Float[np.ndarray, " F"], Float[np.ndarray, "S F"]]
"""The figures of an arm, and those of its resamples."""
COLUMNS: Final = tuple(dict.fromkeys(name for pair in FIGURES.values() for name in pair))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the ends of its 95% interval; NaN where nothing was counted."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm; ``against`` is relative to the first arm, ``None`` for that one itself."""

    name: str
    num_users: int
    num_answers: int
    num_exposures: int
    figures: dict[str, Estimate]
    against: dict[str, Estimate] | None


@dataclass(frozen=True, slots=True)
class Report:
    """All arms of one experiment by name, and who was left out."""

    experiment: str
    start: datetime
    end: datetime
    """When it ran, within the span that was asked for."""
    arms: tuple[Arm, ...]
    num_mixed_users: int
    """Users with exposures of several arms; they count in none."""


def ab_report(
    start: datetime, end: datetime, *, settings: Settings, name: str | None = None, control: str | None = None
) -> Report:
    """Compare the arms of an experiment by its exposures in [start, end); watches may come up to a day later.

    Exposures name the arm alone, so those of before the experiment began and after its end are left out.

    Args:
        name: of the experiment; by default the newest that ran in the span.
        control: arm that the others are compared with; by default the first by name.

    Raises:
        BadInputError: no such experiment in the span, no exposures of its arms, or none of ``control``.
    """
    experiment, start, end = experiment_between(open_registry(settings), start, end, name)
    connection = connect()
    _read(connection, [arm.name for arm in experiment.arms], start, end, settings)
    [(num_mixed,)] = connection.sql(f"SELECT count(*) FROM ({_MIXED})").fetchall()
    per_arm = _per_user(connection)
    if not per_arm:
        span = f"between {start.isoformat()} and {end.isoformat()}"
        raise BadInputError(f"no exposures of an arm of {experiment.name} {span}; are those days ingested?")
    control = control or min(per_arm)
    if control not in per_arm:
        raise BadInputError(f"no exposures of arm {control!r}; there are {', '.join(sorted(per_arm))}")
    samples = {name: _resampled(users) for name, users in per_arm.items()}
    names = [control, *(name for name in sorted(per_arm) if name != control)]
    base = None
    arms = []
    for name in names:
        sums = per_arm[name].sum(axis=0)
        own = _ratios(sums[None])[0], _ratios(samples[name])
        arms.append(_arm(name, sums, own, base))
        base = base or own
    return Report(experiment.name, start, end, tuple(arms), int(num_mixed))


def _arm(name: str, sums: Float[np.ndarray, " C"], own: Ratios, base: Ratios | None) -> Arm:
    against = None
    if base is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            against = _estimates(own[0] / base[0] - 1, own[1] / base[1] - 1)
    users, answers, shown = (int(sums[COLUMNS.index(column)]) for column in ("users", "answers", "shown"))
    return Arm(name, users, answers, shown, _estimates(*own), against)


def _estimates(values: Float[np.ndarray, " F"], samples: Float[np.ndarray, "S F"]) -> dict[str, Estimate]:
    low, high = np.quantile(samples, LEVEL, axis=0)
    return {name: Estimate(*map(float, (values[i], low[i], high[i]))) for i, name in enumerate(FIGURES)}


def _ratios(sums: Float[np.ndarray, "S C"]) -> Float[np.ndarray, "S F"]:
    tops, bottoms = ([COLUMNS.index(pair[side]) for pair in FIGURES.values()] for side in (0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[:, tops] / sums[:, bottoms]


def _resampled(users: Float[np.ndarray, "U C"]) -> Float[np.ndarray, "S C"]:
    """Sums over the users of each resample, in which a user counts a Poisson number of times."""
    random = np.random.default_rng(SEED)
    sums = np.zeros((NUM_RESAMPLES, users.shape[1]))
    for first in range(0, len(users), USERS_PER_BLOCK):
        block = users[first : first + USERS_PER_BLOCK]
        sums += random.poisson(1.0, (NUM_RESAMPLES, len(block))) @ block
    return sums


_MIXED: Final = f"SELECT {USER_ID} FROM exposures GROUP BY {USER_ID} HAVING count(DISTINCT {ARM}) > 1"


def _read(
    connection: duckdb.DuckDBPyConnection,
    arms: Iterable[str],
    start: datetime,
    end: datetime,
    settings: Settings,
) -> None:
    """Tables ``exposures`` (one row per answer and video, with what was done) and ``videos``."""
    lake = Lake(settings)
    last = day_of(end - timedelta(microseconds=1))
    shown_days = [day for day in lake.day_counts(EXPOSURES) if day_of(start) <= day <= last]
    played_days = {day for shown in shown_days for day in watch_days(shown)}
    watches = lake.scan(connection, WATCHES, sorted(played_days & lake.day_counts(WATCHES).keys()))
    videos = lake.scan(connection, VIDEOS, [lake.latest_day(VIDEOS, last)])
    videos.create("videos")
    played = watches.filter(f"{REQUEST_ID} IS NOT NULL")
    played.project(f"{EVENT_ID}, {REQUEST_ID}").create("requests")
    watches_with_actions(played, connection.table("videos"), settings.rule).create("actions")
    exposures = lake.scan(connection, EXPOSURES, shown_days)
    exposures.filter(
        f"{ARM} IN ({', '.join(map(literal, arms))}) AND {EVENT_TIME} >= TIMESTAMPTZ '{start.isoformat()}' "
        f"AND {EVENT_TIME} < TIMESTAMPTZ '{end.isoformat()}'"
    ).create_view("asked")
    connection.execute(
        f"""
        CREATE TABLE exposures AS
        SELECT {ARM}, {USER_ID}, {REQUEST_ID}, {VIDEO_ID}, played.{ACTIONS}
        FROM (SELECT DISTINCT {ARM}, {USER_ID}, {REQUEST_ID}, {VIDEO_ID} FROM asked)
        LEFT JOIN (SELECT {REQUEST_ID}, {VIDEO_ID}, bit_or({ACTIONS}) AS {ACTIONS}
                   FROM actions JOIN requests USING ({EVENT_ID}) GROUP BY ALL) AS played
        USING ({REQUEST_ID}, {VIDEO_ID})
        """
    )


def _per_user(connection: duckdb.DuckDBPyConnection) -> dict[str, Float[np.ndarray, "U C"]]:
    """By arm, the columns of ``COLUMNS`` for each of its users."""

    def share(bit: Action) -> str:
        return f"count(*) FILTER ({ACTIONS} & {bit.value} <> 0)"

    query = f"""
        WITH own AS (SELECT * FROM exposures WHERE {USER_ID} NOT IN ({_MIXED})),
             sums AS (SELECT {ARM}, {USER_ID}, count(*) AS shown, count({ACTIONS}) AS played,
                             {share(Action.POSITIVE)} AS positive, {share(Action.LIKED)} AS liked,
                             {share(Action.DISLIKED)} AS disliked, 1 AS users,
                             count(DISTINCT {REQUEST_ID}) AS answers
                      FROM own GROUP BY ALL),
             tagged AS (SELECT {ARM}, {USER_ID}, {REQUEST_ID}, {ACTIONS}, unnest({TAG_IDS}) AS tag
                        FROM own JOIN videos USING ({VIDEO_ID})),
             tags AS (SELECT {ARM}, {USER_ID}, count(DISTINCT ({REQUEST_ID}, tag)) AS tags_of_answers,
                             count(DISTINCT tag) FILTER ({ACTIONS} & {Action.POSITIVE.value} <> 0)
                             AS tags_of_positives
                      FROM tagged GROUP BY ALL)
        SELECT {ARM}, [{", ".join(f"coalesce({name}, 0)::DOUBLE" for name in COLUMNS)}] AS figures
        FROM sums LEFT JOIN tags USING ({ARM}, {USER_ID}) ORDER BY {ARM}, {USER_ID}
    """
    found: dict[str, list[list[float]]] = {}
    for arm, figures in connection.sql(query).fetchall():
        found.setdefault(arm, []).append(figures)
    return {arm: np.array(rows) for arm, rows in found.items()}
