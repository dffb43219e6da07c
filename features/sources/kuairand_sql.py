"""The DuckDB statements of the KuaiRand importer: from its CSV columns to those of features/schema.py.

A log is read as plain lines, because a CSV reader drops or refuses what it cannot parse. Each value is cast
where it can be and passed on as text where it cannot.
"""

import re
from collections.abc import Sequence
from typing import Final

from features import schema

LOCAL_HOURS: Final = 8
"""KuaiRand's days are days of UTC+8."""
LAST_MS: Final = 4_102_444_800_000
"""2100-01-01: a later time_ms is no time."""
ISO: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
UNKNOWN: Final = "('', 'UNKNOWN', '-124')"

BOOLEANS: Final = {
    schema.LONG_WATCH: "long_view",
    schema.LIKED: "is_like",
    schema.FOLLOWED: "is_follow",
    schema.SHARED: "is_forward",
    schema.COMMENTED: "is_comment",
    schema.DISLIKED: "is_hate",
}
LOG_COLUMNS: Final = ("user_id", "video_id", "date", "time_ms", "play_time_ms", "tab", *BOOLEANS.values())
VIDEO_COLUMNS: Final = (
    "video_id",
    "author_id",
    "video_type",
    "upload_dt",
    "visible_status",
    "video_duration",
    "tag",
)
USER_COLUMNS: Final = ("user_id", "user_active_degree")
PROFILE_COLUMN: Final = re.compile(r"is_\w+|\w+_range|onehot_feat\d+")

_LINES: Final = r"""read_csv($file, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01', quote = '',
    escape = '', auto_detect = false, strict_mode = false"""

FIRST_LINE: Final = f"SELECT line FROM {_LINES}) LIMIT 1"

LOAD_LINES: Final = f"""
CREATE OR REPLACE TEMP TABLE lines AS
SELECT rtrim(line, chr(13)) AS line FROM {_LINES}, skip = 1) WHERE trim(line, chr(13) || ' ') <> ''
"""

NUM_LINES: Final = "SELECT count(*) FROM lines"

REJECTED_LINES: Final = """
SELECT line || chr(10) AS line FROM lines WHERE len(string_split(line, ',')) <> $fields ORDER BY rowid
"""

FIRST_DAY: Final = "SELECT min(utc_day) FROM log_rows"

LANDING_DAYS: Final = "SELECT DISTINCT coalesce(utc_day, $first_day) AS day FROM log_rows ORDER BY day"

LOCAL_DAYS: Final = f"""
SELECT coalesce(strftime(moment + INTERVAL {LOCAL_HOURS} HOURS, '%Y-%m-%d'), 'unknown') AS day, count(*)
FROM log_rows GROUP BY day
"""

STATED_DAYS: Final = "SELECT coalesce(date, 'unknown') AS day, count(*) FROM log_rows GROUP BY day"


def load_rows(header: Sequence[str]) -> str:
    """Split the lines that have as many fields as ``header``; needs ``$fields`` and ``$file``."""
    wanted = ", ".join(
        f"nullif(trim(fields[{header.index(column) + 1}]), '') AS {column}" for column in LOG_COLUMNS
    )
    return f"""
    CREATE OR REPLACE TEMP TABLE log_rows AS
    WITH split AS (
        SELECT rowid AS line_number, string_split(line, ',') AS fields FROM lines
        WHERE len(string_split(line, ',')) = $fields
    ), named AS (SELECT line_number, {wanted} FROM split), timed AS (
        SELECT *, CASE WHEN TRY_CAST(time_ms AS BIGINT) BETWEEN 0 AND {LAST_MS}
            THEN make_timestamp(CAST(time_ms AS BIGINT) * 1000) END AS moment
        FROM named
    )
    SELECT *, strftime(moment, '%Y-%m-%d') AS utc_day, CASE
        WHEN moment IS NOT NULL AND user_id IS NOT NULL AND video_id IS NOT NULL
        THEN md5(user_id || '-' || video_id || '-' || time_ms)
        ELSE md5($file || ':' || line_number) END AS event_id
    FROM timed
    """


def _boolean(column: str) -> str:
    return f"CASE TRY_CAST({column} AS DOUBLE) WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE {column} END"


def _seconds(column: str) -> str:
    return f"coalesce(CAST(TRY_CAST({column} AS DOUBLE) / 1000 AS VARCHAR), {column})"


def _known(column: str) -> str:
    return f"CASE WHEN {column} NOT IN {UNKNOWN} THEN {column} END"


_UNKNOWN_COLUMNS: Final = (schema.DEVICE, schema.REQUEST_ID, schema.CHANNEL, schema.INTEREST)

SELECT_WATCHES: Final = f"""
SELECT event_id AS {schema.EVENT_ID}, user_id AS {schema.USER_ID}, video_id AS {schema.VIDEO_ID},
    coalesce(strftime(moment, '{ISO}'), time_ms) AS {schema.EVENT_TIME},
    {_seconds("play_time_ms")} AS {schema.WATCH_SECONDS},
    {", ".join(f"{_boolean(source)} AS {column}" for column, source in BOOLEANS.items())},
    tab AS {schema.SCENE},
    {", ".join(f"CAST(NULL AS VARCHAR) AS {column}" for column in _UNKNOWN_COLUMNS)}
FROM log_rows WHERE coalesce(utc_day, $first_day) = $day ORDER BY line_number
"""

_CSV: Final = (
    "read_csv($files, header = true, all_varchar = true, delim = ',', quote = '\"', union_by_name = true)"
)

SELECT_VIDEOS: Final = f"""
SELECT video_id AS {schema.VIDEO_ID}, author_id AS {schema.UPLOADER_ID},
    list_transform(string_split(nullif(tag, ''), ','), lambda t: trim(t)) AS {schema.TAG_IDS},
    {_known("video_type")} AS {schema.CATEGORY},
    {_seconds("video_duration")} AS {schema.DURATION_SECONDS},
    coalesce(strftime(TRY_CAST(upload_dt AS TIMESTAMP) - INTERVAL {LOCAL_HOURS} HOURS, '{ISO}'), upload_dt)
        AS {schema.PUBLISHED_AT},
    CAST(NULL AS VARCHAR) AS {schema.TITLE}, CAST(NULL AS VARCHAR) AS {schema.LANGUAGE},
    CASE WHEN coalesce(TRY_CAST(visible_status AS DOUBLE), 0) = 0 THEN 'true' ELSE 'false' END
        AS {schema.IS_ONLINE}
FROM {_CSV}
"""


def select_users(header: Sequence[str]) -> str:
    """Profile tokens ``column=value`` of every flag, range and one-hot column of ``header`` that is known."""
    columns = [column for column in header if PROFILE_COLUMN.fullmatch(column)]
    tokens = [
        f"CASE WHEN {column} NOT IN {UNKNOWN} THEN '{column}=' || regexp_replace({column}, '\\.0$', '') END"
        for column in columns
    ]
    return f"""
    SELECT user_id AS {schema.USER_ID}, CAST(NULL AS VARCHAR) AS {schema.REGISTERED_AT},
        {_known("user_active_degree")} AS {schema.SEGMENT},
        list_filter(CAST([{", ".join(tokens)}] AS VARCHAR[]), lambda t: t IS NOT NULL) AS {schema.PROFILE}
    FROM {_CSV}
    """
