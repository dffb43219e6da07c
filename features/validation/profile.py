"""How the values of a day are spread over buckets, and how far that moved from the days before.

Drift is the population stability index (N. Siddiqi, Credit Risk Scorecards, Wiley 2006): the sum over
buckets of ``(p - q) ln(p / q)``, p the shares of the day and q those of the days before. Half a row is added
to every bucket, so that an empty one does not make it infinite. Shares of committed days are counted once
and kept in ``reports/validation/profiles``, as long as the files of the day stay the same.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from features.config import ValidationConfig
from features.lake import Lake
from features.schema import (
    ARM,
    CATEGORY,
    CHANNEL,
    DEVICE,
    DURATION_SECONDS,
    EVENT_TIME,
    EXPOSURES,
    IS_ONLINE,
    LIKED,
    LONG_WATCH,
    SCENE,
    SEGMENT,
    TAG_IDS,
    USERS,
    VIDEO_ID,
    VIDEOS,
    WATCH_SECONDS,
    WATCHES,
)
from features.settings import Settings
from features.stage import write_atomically
from features.validation.checks import Check

MEAN: Final = f"mean_{WATCH_SECONDS}"
MAX_BUCKETS: Final = 50
"""Rarer values of a text column share the bucket ``other``."""
_SECONDS: Final = (1.0, 3.0, 7.0, 18.0, 60.0)
_DURATIONS: Final = (7.0, 15.0, 30.0, 60.0, 180.0)
_SHARES: Final = (0.1, 0.25, 0.5, 0.9)


def _buckets(figure: str, edges: Sequence[float]) -> str:
    cases = " ".join(f"WHEN {figure} < {edge} THEN 'below {edge:g}'" for edge in edges)
    return f"CASE WHEN {figure} IS NULL THEN 'unknown' {cases} ELSE 'from {edges[-1]:g}' END"


_COLUMNS: Final[dict[str, dict[str, str]]] = {
    WATCHES: {
        "hour": f"hour({EVENT_TIME})",
        DEVICE: DEVICE,
        SCENE: SCENE,
        LONG_WATCH: LONG_WATCH,
        LIKED: LIKED,
        WATCH_SECONDS: _buckets(WATCH_SECONDS, _SECONDS),
        "completion": _buckets(f"{WATCH_SECONDS} / nullif(videos.{DURATION_SECONDS}, 0)", _SHARES),
    },
    EXPOSURES: {CHANNEL: CHANNEL, ARM: ARM},
    VIDEOS: {
        IS_ONLINE: IS_ONLINE,
        CATEGORY: CATEGORY,
        "num_tags": f"least(len({TAG_IDS}), 5)",
        DURATION_SECONDS: _buckets(DURATION_SECONDS, _DURATIONS),
    },
    USERS: {SEGMENT: SEGMENT},
}
"""What is watched for drift: name and SQL of the bucket."""


class Profile(BaseModel):
    """Rows per bucket of one table and day."""

    model_config = ConfigDict(frozen=True)

    files: list[str] = []
    """Files of the lake that were counted; empty for rows that are not committed yet."""
    rows: int
    mean_watch_seconds: float | None = None
    buckets: dict[str, dict[str, int]]


def profile_of(connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[str] = ()) -> Profile:
    """Count the view ``rows``; of watches also by the durations in the view ``videos``."""
    buckets = {name: _count(connection, name, sql) for name, sql in _COLUMNS[table].items()}
    mean = f"avg({WATCH_SECONDS})" if table == WATCHES else "NULL"
    [(rows, seconds)] = connection.execute(f"SELECT count(*), {mean} FROM rows").fetchall()
    return Profile(files=list(files), rows=rows, mean_watch_seconds=seconds, buckets=buckets)


def lake_profile(
    connection: duckdb.DuckDBPyConnection, lake: Lake, settings: Settings, table: str, day: str
) -> Profile:
    """The profile of a committed day, counted at most once per version of the day."""
    path = settings.reports / "validation" / "profiles" / table / f"{day}.json"
    files = lake.partition_files(table, day)
    if path.exists():
        try:
            noted = Profile.model_validate_json(path.read_text())
        except ValidationError:
            noted = None  # written by another version of this module
        if noted and noted.files == files and noted.buckets.keys() == _COLUMNS[table].keys():
            return noted
    lake.scan(connection, table, [day]).create_view("rows")
    counted = profile_of(connection, table, files)
    write_atomically(path, counted.model_dump_json())
    return counted


def drift_checks(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    now: Profile,
    past: Sequence[Profile],
    limits: ValidationConfig,
) -> list[Check]:
    """A check per column of ``table``; none where the day or its past is too small to tell."""
    if len(past) < limits.min_baseline_days or _too_few([now], limits) or _too_few(past, limits):
        return []
    found = []
    for name in _COLUMNS[table]:
        usual: dict[str, int] = {}
        for profile in past:
            for bucket, rows in profile.buckets[name].items():
                usual[bucket] = usual.get(bucket, 0) + rows
        index, moved = stability_index(connection, now.buckets[name], usual)
        found.append(
            Check(
                name=f"{table}.drift.{name}",
                says=f"{name} is spread as in the {len(past)} days before (population stability index)",
                sql=str(index),
                high=limits.max_drift,
                observed=f"index {index:.3f}; most moved: {moved}",
            )
        )
    return found + _mean_check(now, past, limits)


def stability_index(
    connection: duckdb.DuckDBPyConnection, now: dict[str, int], usual: dict[str, int]
) -> tuple[float, str]:
    """The population stability index, and the three buckets that add most to it, in words."""
    names = sorted(now.keys() | usual.keys())
    connection.register(
        "bucket_rows",
        pa.table(
            {
                "bucket": names,
                "now": [now.get(name, 0) for name in names],
                "usual": [usual.get(name, 0) for name in names],
            }
        ),
    )
    rows = connection.execute("""
        SELECT bucket, (p - q) * ln(p / q) AS part, p, q
        FROM (SELECT bucket, (now + 0.5) / sum(now + 0.5) OVER () AS p,
                     (usual + 0.5) / sum(usual + 0.5) OVER () AS q FROM bucket_rows)
        ORDER BY part DESC, bucket
    """).fetchall()
    moved = ", ".join(f"{bucket} {q:.1%} -> {p:.1%}" for bucket, _, p, q in rows[:3])
    return sum(part for _, part, _, _ in rows), moved


def _mean_check(now: Profile, past: Sequence[Profile], limits: ValidationConfig) -> list[Check]:
    means = sorted(profile.mean_watch_seconds for profile in past if profile.mean_watch_seconds)
    if now.mean_watch_seconds is None or not means:
        return []
    usual = means[len(means) // 2]
    return [
        Check(
            name=f"{WATCHES}.drift.{MEAN}",
            says=f"mean {WATCH_SECONDS} near the median of the days before, {usual:.1f}",
            sql=str(now.mean_watch_seconds),
            low=usual / limits.max_mean_ratio,
            high=usual * limits.max_mean_ratio,
        )
    ]


def _too_few(profiles: Iterable[Profile], limits: ValidationConfig) -> bool:
    return sum(profile.rows for profile in profiles) < limits.min_drift_rows


def _count(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> dict[str, int]:
    joined = f"LEFT JOIN videos USING ({VIDEO_ID})" if "videos." in sql else ""
    rows = connection.execute(f"""
        SELECT coalesce(({sql})::VARCHAR, 'unknown') AS bucket, count(*) AS rows FROM rows {joined}
        GROUP BY 1 ORDER BY 2 DESC, 1
    """).fetchall()
    counts = dict(rows[:MAX_BUCKETS])
    if rest := sum(number for _, number in rows[MAX_BUCKETS:]):
        counts["other"] = counts.get("other", 0) + rest
    return counts
