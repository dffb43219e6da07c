"""Feast's objects: what exists, for which entity, and for how long a value is valid.

Declarative on purpose: ``features/snapshots.py`` computes the values. Sources are the Parquet exports of
one FACET_HOME, so the views are built for its settings.
"""

from datetime import timedelta
from typing import Final

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.types import Array, Bytes, Float64, Int32, Int64, String

from features.aggregates.columns import WINDOWS, count_columns, rate_columns
from features.follows import FOLLOWED_UPLOADERS
from features.schema import (
    ACTIONS,
    EVENT_TIMES,
    PROFILE,
    SEGMENT,
    TAG_ID,
    UPLOADER_ID,
    USER_ID,
    VIDEO_ID,
    VIDEO_IDS,
)
from features.settings import Settings
from features.snapshots import (
    AFFINITY_VIEWS,
    AS_OF,
    KEY_OF,
    SEEN_PACKED,
    STATS_VIEWS,
    USER_FOLLOWS,
    USER_HISTORY,
    USER_PROFILE,
    USER_RECENT,
    USER_SEEN,
    USER_SHOWN,
    affinity_columns,
    snapshot_path,
)

PROJECT: Final = "facet"
RECALL_SERVICE: Final = "recall_v1"
OFFLINE_SERVICE: Final = "recall_offline_v1"
PUSHED_WATCHES: Final = "pushed_watches"
RECENT: Final = "recent"
PUSHED_IMPRESSIONS: Final = "pushed_impressions"
SHOWN_PACKED: Final = "shown_packed"
STATS_TTL: Final = timedelta(days=3)
"""Two missed days may pass before statistics count as unknown."""
AFFINITY_TTL: Final = timedelta(days=WINDOWS[-1])
"""Who watched nothing in the longest window leans to nothing any more."""
FOREVER: Final = timedelta(0)


def _stats_schema(entity: str) -> list[Field]:
    """``features/aggregates/windows.py`` says what they are."""
    return [
        *(
            Field(name=name, dtype=Int64, description="count over the window")
            for name in count_columns(entity)
        ),
        *(Field(name=name, dtype=Float64, description="smoothed rate, or trend") for name in rate_columns()),
    ]


def _affinity_schema(entity: str) -> list[Field]:
    """``features/aggregates/affinities.py`` says what they are."""
    ids, shares, rates = affinity_columns(entity)
    return [
        Field(name=ids, dtype=Array(Int64), description="what the user leans to most, strongest first"),
        Field(name=shares, dtype=Array(Float64), description="of these, share of the user's positives"),
        Field(name=rates, dtype=Array(Float64), description="of these, long-watch rate of the user"),
    ]


ENTITIES: Final = {
    key: Entity(name=name, join_keys=[key], value_type=ValueType.INT64)
    for name, key in (("user", USER_ID), ("video", VIDEO_ID), ("uploader", UPLOADER_ID), ("tag", TAG_ID))
}
SCHEMA_OF: Final = {
    USER_HISTORY: [
        Field(name=VIDEO_IDS, dtype=Array(Int64), description="last 100 watches, newest last"),
        Field(name=EVENT_TIMES, dtype=Array(Int64), description="of these watches, microseconds since 1970"),
        Field(name=ACTIONS, dtype=Array(Int32), description="of these watches, Action bits"),
    ],
    USER_SEEN: [Field(name=SEEN_PACKED, dtype=Bytes, description="int64 ids that may not be shown again")],
    USER_PROFILE: [
        Field(name=SEGMENT, dtype=String, description="coarse group of the user"),
        Field(name=PROFILE, dtype=Array(String), description="static attributes, name=value"),
    ],
    USER_FOLLOWS: [
        Field(name=FOLLOWED_UPLOADERS, dtype=Array(Int64), description="uploaders followed, newest last")
    ],
    **{view: _affinity_schema(entity) for view, entity in AFFINITY_VIEWS.items()},
    **{view: _stats_schema(entity) for view, entity in STATS_VIEWS.items()},
}
"""Features of every view that is built from the lake."""
TTL_OF: Final = {
    **dict.fromkeys(SCHEMA_OF, FOREVER),
    **dict.fromkeys(AFFINITY_VIEWS, AFFINITY_TTL),
    **dict.fromkeys(STATS_VIEWS, STATS_TTL),
    USER_RECENT: FOREVER,
    USER_SHOWN: FOREVER,
}
"""How long after its time a row may be served."""


def feature_views(settings: Settings) -> list[FeatureView]:
    """All views of one home: over its exports, and what is pushed."""
    recent = Field(name=RECENT, dtype=Bytes, description="watches that were pushed, JSON, newest last")
    shown = Field(name=SHOWN_PACKED, dtype=Bytes, description="how often videos were shown, by day")
    return [
        *(_view(settings, name, KEY_OF[name]) for name in SCHEMA_OF),
        _pushed_view(settings, USER_RECENT, PUSHED_WATCHES, recent),
        _pushed_view(settings, USER_SHOWN, PUSHED_IMPRESSIONS, shown),
    ]


def services(views: list[FeatureView]) -> list[FeatureService]:
    """What recall reads of a user: online everything, offline what histories need."""
    of_user = (USER_HISTORY, USER_SEEN, USER_PROFILE)
    online = (*of_user, USER_FOLLOWS, USER_RECENT, USER_SHOWN)
    wanted = {RECALL_SERVICE: online, OFFLINE_SERVICE: of_user}
    return [
        FeatureService(name=name, features=[view for view in views if view.name in names])
        for name, names in wanted.items()
    ]


def source_of(settings: Settings, view: str) -> DataSource:
    """The exports of one view, as the offline store of these settings reads them."""
    name, path = f"{view}_source", str(snapshot_path(settings, view, "*"))
    if settings.offline_store == "spark":
        from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource

        return SparkSource(name=name, path=path, file_format="parquet", timestamp_field=AS_OF)
    return FileSource(name=name, path=path, file_format=ParquetFormat(), timestamp_field=AS_OF)


def _pushed_view(settings: Settings, name: str, pushed: str, field: Field) -> FeatureView:
    # Offline joins want a source; the folder stays empty, since the lake will hold what was pushed.
    source = PushSource(name=pushed, batch_source=source_of(settings, name))
    schema = [Field(name=USER_ID, dtype=Int64), field]
    return FeatureView(
        name=name, entities=[ENTITIES[USER_ID]], ttl=FOREVER, schema=schema, source=source, online=True
    )


def _view(settings: Settings, name: str, key: str) -> FeatureView:
    return FeatureView(
        name=name,
        entities=[ENTITIES[key]],
        ttl=TTL_OF[name],
        schema=[Field(name=key, dtype=Int64), *SCHEMA_OF[name]],
        source=source_of(settings, name),
        online=True,
    )
