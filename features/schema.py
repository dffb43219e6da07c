"""Every table and column name, once, with its type. Code imports the names from here and never types them.

Times are UTC with microseconds. Ids come from the logs and start at 0. In ``WATCHES`` the columns
``watch_seconds``, ``long_watch`` and every flag may be null: null means unknown, never false.
"""

from typing import Final

import pyarrow as pa

# Tables, in landing and in the lake alike.
WATCHES: Final = "watches"
VIDEOS: Final = "videos"
USERS: Final = "users"
EXPOSURES: Final = "exposures"

# Watch: one play of one video by one user.
EVENT_ID: Final = "event_id"
USER_ID: Final = "user_id"
VIDEO_ID: Final = "video_id"
EVENT_TIME: Final = "event_time"
WATCH_SECONDS: Final = "watch_seconds"
LONG_WATCH: Final = "long_watch"
LIKED: Final = "liked"
FOLLOWED: Final = "followed"
SHARED: Final = "shared"
COMMENTED: Final = "commented"
DISLIKED: Final = "disliked"
SCENE: Final = "scene"
DEVICE: Final = "device"
REQUEST_ID: Final = "request_id"
CHANNEL: Final = "channel"
INTEREST: Final = "interest"
LANDING_DAY: Final = "landing_day"
"""UTC day of the landing folder that brought the row; lets a second ingest replace its own rows."""
EXTRA: Final = "extra"
"""Columns of a landing file that Facet does not know, as one JSON object; kept, and read by nobody yet."""
FLAGS: Final = (LIKED, FOLLOWED, SHARED, COMMENTED, DISLIKED)

# Exposure: one video that one answer of recall showed to a user; whoever watches it names the same request.
RELEASE: Final = "release"
ARM: Final = "arm"
"""Group of an experiment."""

# Video: one row of a daily snapshot.
UPLOADER_ID: Final = "uploader_id"
TAG_ID: Final = "tag_id"
TAG_IDS: Final = "tag_ids"
CATEGORY: Final = "category"
DURATION_SECONDS: Final = "duration_seconds"
PUBLISHED_AT: Final = "published_at"
TITLE: Final = "title"
LANGUAGE: Final = "language"
IS_ONLINE: Final = "is_online"

# User: static profile, one row of a daily snapshot.
REGISTERED_AT: Final = "registered_at"
SEGMENT: Final = "segment"
"""One coarse group per user; popularity lists are kept per segment."""
PROFILE: Final = "profile"
"""Static attributes as ``"name=value"`` tokens, so that any source fits without a schema change."""

# Partition columns.
EVENT_DAY: Final = "event_day"
SNAPSHOT_DAY: Final = "snapshot_day"

# Quarantine.
FILE: Final = "file"
LINE: Final = "line"
RULE: Final = "rule"
RAW: Final = "raw"

# Histories and bundles.
VIDEO_IDS: Final = "video_ids"
EVENT_TIMES: Final = "event_times"
ACTIONS: Final = "actions"
VECTOR: Final = "vector"
SCORE: Final = "score"
RANK: Final = "rank"

PAD_ROW: Final = 0
"""Row 0 of every embedding table is padding; real rows start at 1."""

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

SCHEMAS: Final[dict[str, pa.Schema]] = {
    WATCHES: pa.schema(
        [
            pa.field(EVENT_ID, pa.string(), nullable=False),
            pa.field(USER_ID, pa.int64(), nullable=False),
            pa.field(VIDEO_ID, pa.int64(), nullable=False),
            pa.field(EVENT_TIME, TIMESTAMP, nullable=False),
            pa.field(WATCH_SECONDS, pa.float64()),
            pa.field(LONG_WATCH, pa.bool_()),
            *(pa.field(flag, pa.bool_()) for flag in FLAGS),
            pa.field(SCENE, pa.string()),
            pa.field(DEVICE, pa.string()),
            pa.field(REQUEST_ID, pa.string()),
            pa.field(CHANNEL, pa.string()),
            pa.field(INTEREST, pa.int32()),
            pa.field(EXTRA, pa.string()),
        ]
    ),
    EXPOSURES: pa.schema(
        [
            pa.field(REQUEST_ID, pa.string(), nullable=False),
            pa.field(USER_ID, pa.int64(), nullable=False),
            pa.field(VIDEO_ID, pa.int64(), nullable=False),
            pa.field(EVENT_TIME, TIMESTAMP, nullable=False),
            pa.field(RANK, pa.int32()),
            pa.field(CHANNEL, pa.string()),
            pa.field(INTEREST, pa.int32()),
            pa.field(RELEASE, pa.string()),
            pa.field(ARM, pa.string()),
            pa.field(EXTRA, pa.string()),
        ]
    ),
    VIDEOS: pa.schema(
        [
            pa.field(VIDEO_ID, pa.int64(), nullable=False),
            pa.field(UPLOADER_ID, pa.int64(), nullable=False),
            pa.field(TAG_IDS, pa.list_(pa.int64())),
            pa.field(CATEGORY, pa.string()),
            pa.field(DURATION_SECONDS, pa.float64()),
            pa.field(PUBLISHED_AT, TIMESTAMP),
            pa.field(TITLE, pa.string()),
            pa.field(LANGUAGE, pa.string()),
            pa.field(IS_ONLINE, pa.bool_(), nullable=False),
            pa.field(EXTRA, pa.string()),
        ]
    ),
    USERS: pa.schema(
        [
            pa.field(USER_ID, pa.int64(), nullable=False),
            pa.field(REGISTERED_AT, TIMESTAMP),
            pa.field(SEGMENT, pa.string()),
            pa.field(PROFILE, pa.list_(pa.string())),
            pa.field(EXTRA, pa.string()),
        ]
    ),
}
"""What a landing file of each table holds; the lake adds ``landing_day`` and the partition column."""

KEYS: Final[dict[str, str]] = {
    WATCHES: EVENT_ID,
    EXPOSURES: f"{REQUEST_ID}, {VIDEO_ID}",
    VIDEOS: VIDEO_ID,
    USERS: USER_ID,
}
"""The column or columns that make a row unique within its partition: an event day, or a snapshot."""
