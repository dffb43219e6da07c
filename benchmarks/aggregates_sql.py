"""What ``features/aggregates`` computes, in DuckDB SQL written by hand: the yardstick of its benchmark.

The same plan, days stored as Parquet and windows over these, without Ibis and without identities.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from features.days import add_days
from features.lake import Lake, connect
from features.schema import TAG_ID, UPLOADER_ID, USER_ID, VIDEO_ID, VIDEOS, WATCHES
from features.settings import Settings

TABLES: Final = {USER_ID: "users", VIDEO_ID: "videos", UPLOADER_ID: "uploaders", TAG_ID: "tags"}
PAIRS: Final = {USER_ID: "user_videos", VIDEO_ID: "user_videos"} | {
    key: f"user_{TABLES[key]}" for key in (UPLOADER_ID, TAG_ID)
}
FLAGS: Final = ("long_watches", "likes", "follows", "shares", "dislikes")
SUMS: Final = (
    "plays",
    *FLAGS,
    *(f"known_{n}" for n in FLAGS),
    "completion_micros",
    "known_completion_micros",
)
RATES: Final = {
    "long_watch": FLAGS[0],
    "like": "likes",
    "follow": "follows",
    "share": "shares",
    "dislike": "dislikes",
}
WINDOWS: Final = (1, 7, 30)


class HandWritten:
    """The calls of ``Aggregates`` that the benchmark needs."""

    def __init__(self, settings: Settings) -> None:
        self._lake, self._rule, self._config = Lake(settings), settings.rule, settings.aggregates
        self._root = settings.root / "aggregates"
        self._duckdb = connect()
        self._duckdb.execute("SET preserve_insertion_order = false")

    def update(self, days: Sequence[str]) -> None:
        """Store the sums of the days that are missing."""
        for day in days:
            folder = self._root / "daily" / day
            if not folder.exists():
                folder.mkdir(parents=True)
                self._day(day, folder)

    def update_transitions(self, days: Sequence[str]) -> None:
        """Store the pairs of the days that are missing."""
        for day in days:
            folder = self._root / "transitions" / day
            if not folder.exists():
                folder.mkdir(parents=True)
                self._transitions(day, folder)

    def stats(self, entity: str, day: str) -> pa.Table:
        """Windows of one entity."""
        unique = "unique_videos" if entity == USER_ID else "unique_users"
        other = VIDEO_ID if entity == USER_ID else USER_ID
        sums = [
            f"coalesce(sum({n}) FILTER (age < {w}), 0)::BIGINT AS {n}_{w}d" for n in SUMS for w in WINDOWS
        ]
        uniques = [f"count(*) FILTER (age < {w}) AS {unique}_{w}d" for w in WINDOWS]
        totals = [f"sum({n}_{w}d)::DOUBLE AS all_{n}_{w}d" for n in SUMS for w in WINDOWS]
        prior, trend = self._config.rate_prior, self._config.trend_prior
        rates = [
            f"({n}_{w}d::DOUBLE + {prior} * (all_{n}_{w}d / nullif(all_known_{n}_{w}d, 0.0)))"
            f" / nullif(known_{n}_{w}d::DOUBLE + {prior}, 0.0) AS {rate}_rate_{w}d"
            for rate, n in RATES.items()
            for w in WINDOWS
        ] + [
            f"(completion_micros_{w}d::DOUBLE / 1e6 + {prior} * (all_completion_micros_{w}d / 1e6"
            f" / nullif(all_known_completion_micros_{w}d, 0.0)))"
            f" / nullif(known_completion_micros_{w}d::DOUBLE + {prior}, 0.0) AS completion_rate_{w}d"
            for w in WINDOWS
        ]
        counts = [f"{n}_{w}d" for n in ("plays", unique, *FLAGS) for w in WINDOWS]
        return self._duckdb.sql(f"""
            WITH s AS MATERIALIZED (SELECT {entity}, {", ".join(sums)}
                                    FROM ({self._window(TABLES[entity], day)}) GROUP BY 1),
            u AS (SELECT {entity}, {", ".join(uniques)}
                  FROM (SELECT {entity}, {other}, min(age) AS age
                        FROM ({self._window(PAIRS[entity], day)}) GROUP BY 1, 2) GROUP BY 1),
            t AS (SELECT {", ".join(totals)} FROM s)
            SELECT {entity}, {", ".join(counts)}, {", ".join(rates)},
                   (plays_1d + {trend}) / (plays_7d::DOUBLE / 7 + {trend}) AS trend
            FROM s JOIN u USING ({entity}), t ORDER BY {entity}
        """).to_arrow_table()

    def affinities(self, entity: str, day: str, *, everyone: bool) -> pa.Table:
        """Affinities to one entity."""
        assert everyone, "the benchmark compares all users"
        half_life, prior = self._config.affinity_half_life_days, self._config.affinity_prior * 2**20
        weights = [round(2**20 * 0.5 ** (age / half_life)) for age in range(30)]
        return self._duckdb.sql(f"""
            WITH p AS MATERIALIZED (
                SELECT user_id, {entity}, sum(plays)::BIGINT AS plays,
                       sum({weights}[age + 1] * long_watches)::DOUBLE AS positive,
                       sum({weights}[age + 1] * known_long_watches)::DOUBLE AS known
                FROM ({self._window(PAIRS[entity], day)}) GROUP BY 1, 2),
            t AS (SELECT sum(positive) AS all_positive, sum(known) AS all_known FROM p),
            u AS (SELECT user_id, sum(positive) AS of_user FROM p GROUP BY 1),
            e AS (SELECT {entity}, sum(positive) AS of_entity FROM p GROUP BY 1)
            SELECT user_id, {entity}, plays,
                   (positive + {prior} * (of_entity / nullif(all_positive, 0))) / (of_user + {prior})
                       AS share,
                   (positive + {prior} * (all_positive / nullif(all_known, 0))) / (known + {prior})
                       AS long_watch_rate
            FROM p JOIN u USING (user_id) JOIN e USING ({entity}), t
            ORDER BY user_id, share DESC, {entity}
        """).to_arrow_table()

    def transitions(self, days: Sequence[str]) -> pa.Table:
        """Pairs of all days."""
        files = [str(self._root / "transitions" / day / "transitions.parquet") for day in days]
        return self._duckdb.sql(
            "SELECT from_video_id, to_video_id, sum(pairs)::BIGINT AS pairs "
            f"FROM read_parquet({files}) GROUP BY ALL ORDER BY 1, 2"
        ).to_arrow_table()

    def _window(self, table: str, day: str) -> str:
        days = [add_days(day, -age) for age in range(WINDOWS[-1])]
        files = [self._root / "daily" / each / f"{table}.parquet" for each in days]
        found = [str(file) for file in files if file.exists()]
        return (
            f"SELECT *, DATE '{day}' - event_day AS age FROM read_parquet({found}) "
            f"WHERE landing_day <= '{day}'"
        )

    def _day(self, day: str, folder: Path) -> None:
        flags = ("liked", "followed", "shared", "disliked")
        named = [f"{flag} AS {name}" for flag, name in zip(flags, FLAGS[1:], strict=True)]
        sums = "count(*) AS plays, " + ", ".join(
            f"count(*) FILTER ({n}) AS {n}, count({n}) AS known_{n}" for n in FLAGS
        )
        sums += ", coalesce(sum(completion_micros), 0)::BIGINT AS completion_micros"
        sums += ", count(completion_micros) AS known_completion_micros"
        of_pair = "count(*) AS plays, count(*) FILTER (long_watches) AS long_watches, "
        of_pair += "count(long_watches) AS known_long_watches"
        rule = self._rule
        watches = self._lake.partition_files(WATCHES, day)
        videos = self._lake.partition_files(VIDEOS, str(self._lake.newest_day(VIDEOS, day)))
        self._duckdb.execute(f"""
            CREATE OR REPLACE TEMP TABLE play AS
            SELECT user_id, video_id, event_time, event_id, landing_day, {", ".join(named)},
                   coalesce(long_watch, watch_seconds >= coalesce(
                       least({rule.min_completion} * duration_seconds, {rule.min_seconds}),
                       {rule.min_seconds})) AS long_watches,
                   CASE WHEN watch_seconds / nullif(duration_seconds, 0) >= 1 THEN 1000000
                        ELSE floor(watch_seconds / nullif(duration_seconds, 0) * 1e6 + 0.5)::BIGINT
                   END AS completion_micros
            FROM read_parquet({watches}) w
            LEFT JOIN (SELECT video_id, duration_seconds FROM read_parquet({videos})) USING (video_id)
        """)
        again = ", ".join(f"sum({n})::BIGINT AS {n}" for n in SUMS)
        again_pair = ", ".join(
            f"sum({n})::BIGINT AS {n}" for n in ("plays", "long_watches", "known_long_watches")
        )
        by_video, by_user = (
            f"'{folder}/{TABLES[VIDEO_ID]}.parquet'",
            f"'{folder}/{PAIRS[VIDEO_ID]}.parquet'",
        )
        uploaders = f"(SELECT video_id, uploader_id FROM read_parquet({videos}))"
        tags = f"(SELECT DISTINCT video_id, unnest(tag_ids) AS tag_id FROM read_parquet({videos}))"
        queries = {
            TABLES[USER_ID]: f"SELECT user_id, landing_day, {sums} FROM play GROUP BY 1, 2",
            TABLES[VIDEO_ID]: f"SELECT video_id, landing_day, {sums} FROM play GROUP BY 1, 2",
            PAIRS[VIDEO_ID]: f"SELECT user_id, video_id, landing_day, {of_pair} FROM play GROUP BY 1, 2, 3",
            "positives": "SELECT user_id, video_id, epoch(event_time)::BIGINT AS epoch_seconds, row_number() "
            "OVER (PARTITION BY user_id ORDER BY event_time DESC, event_id DESC) - 1 AS from_end "
            "FROM play WHERE long_watches",
        }
        for key, of in ((UPLOADER_ID, uploaders), (TAG_ID, tags)):
            queries[TABLES[key]] = (
                f"SELECT {key}, landing_day, {again} FROM {by_video} JOIN {of} USING (video_id) GROUP BY 1, 2"
            )
            queries[PAIRS[key]] = (
                f"SELECT user_id, {key}, landing_day, {again_pair} "
                f"FROM {by_user} JOIN {of} USING (video_id) GROUP BY 1, 2, 3"
            )
        for name, query in queries.items():
            self._write(f"SELECT *, DATE '{day}' AS event_day FROM ({query})", folder / f"{name}.parquet")

    def _transitions(self, day: str, folder: Path) -> None:
        places = self._config.pair_places
        eve, today = (self._root / "daily" / each / "positives.parquet" for each in (add_days(day, -1), day))
        files = [str(path) for path in (eve, today) if path.exists()]
        before = ", ".join(f"lag(video_id, {place}) OVER w" for place in range(1, places + 1))
        self._write(
            f"""
            SELECT from_video_id, to_video_id, count(*) AS pairs
            FROM (SELECT unnest(before) AS from_video_id, video_id AS to_video_id
                  FROM (SELECT video_id, event_day, [{before}] AS before FROM read_parquet({files})
                        WHERE event_day = '{day}' OR from_end < {places}
                        WINDOW w AS (PARTITION BY user_id ORDER BY event_day, from_end DESC))
                  WHERE event_day = '{day}')
            WHERE from_video_id IS NOT NULL AND from_video_id <> to_video_id GROUP BY 1, 2
            """,
            folder / "transitions.parquet",
        )

    def _write(self, query: str, path: Path) -> None:
        self._duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
