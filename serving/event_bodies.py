"""Bodies of ``POST /v1/events``: one watch, or several."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

from serving.api import Id

MAX_EVENTS: Final = 1000
"""Events of one request."""
Name = Annotated[str, Field(min_length=1, max_length=200)]
EXAMPLE: Final[dict[str, JsonValue]] = {
    "event_id": "5f1c0e6a-7-4711",
    "user_id": 7,
    "video_id": 4711,
    "event_time": "2026-01-31T12:00:00.250Z",
    "watch_seconds": 14.5,
    "liked": True,
    "request_id": "0b6f4f0e9c3d4f7b",
}


class WatchEvent(BaseModel):
    """One play of one video. What is left out is unknown, which is not the same as false."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": EXAMPLE})

    event_id: Name = Field(description="the same event sent again, with the same id, counts once")
    user_id: Id
    video_id: Id
    event_time: AwareDatetime = Field(description="when the play began, with offset")
    watch_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    long_watch: bool | None = Field(default=None, description="if unknown, a rule decides by watch_seconds")
    liked: bool | None = None
    followed: bool | None = None
    shared: bool | None = None
    commented: bool | None = None
    disliked: bool | None = None
    scene: Name | None = None
    device: Name | None = None
    request_id: Name | None = Field(default=None, description="of the answer of /v1/recall that showed it")


class EventBatch(BaseModel):
    """Several events, all stored or none."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"events": [EXAMPLE]}})

    events: list[WatchEvent] = Field(min_length=1, max_length=MAX_EVENTS)


def _form(body: object) -> str:
    is_batch = isinstance(body, EventBatch) or (isinstance(body, Mapping) and "events" in body)
    return "batch" if is_batch else "event"


EventsRequest = Annotated[
    Annotated[WatchEvent, Tag("event")] | Annotated[EventBatch, Tag("batch")], Discriminator(_form)
]


class EventsResponse(BaseModel):
    """What is on disk now."""

    model_config = ConfigDict(json_schema_extra={"example": {"stored": 1}})

    stored: int
