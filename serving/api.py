"""Bodies of the HTTP API, with the examples that its documentation shows."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from features.filters import VideoFilters
from features.merge_config import Arrangement, MergeConfig
from serving.result import LeftOut, Reason, RecallResult

ANSWER: dict[str, Any] = {
    "request_id": "0b6f4f0e9c3d4f7b8a1d2c3b4a596877",
    "user_id": 7,
    "release": "20260131T120000-123456-9f2c1a7b",
    "arm": None,
    "reason": None,
    "left_out": {},
    "interests": [
        {
            "channel": "interests",
            "interest": 0,
            "weight": 0.75,
            "is_searched": True,
            "num_found": 200,
            "num_kept": 141,
            "top_tags": [12, 40],
            "nearest": [4711, 93, 512],
            "grounds": {"num_positives": 9, "share": 0.71, "min_share": 0.1, "is_copy": False},
        }
    ],
    "candidates": [
        {
            "video_id": 4711,
            "score": 0.0161,
            "interest": 0,
            "also_found_by": [2],
            "tags": [12, 40],
            "uploader": 93,
            "channels": [
                {"channel": "interests", "rank": 0, "interests": [0, 2]},
                {"channel": "ease", "rank": 5, "interests": []},
            ],
        }
    ],
}


def _no_flag(value: object) -> object:
    """Pydantic reads ``true`` as 1, which is somebody else's id."""
    if isinstance(value, bool):
        raise ValueError("true and false are no ids")
    return value


Id = Annotated[int, BeforeValidator(_no_flag), Field(ge=0, le=2**63 - 1)]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
"""Without control characters, which Milvus cannot read in a filter."""
Texts = Annotated[tuple[Text, ...], Field(max_length=100)]


class FiltersBody(BaseModel):
    """What all videos of the answer have in common; of what is unknown, only ``excluded_...`` is passed."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"languages": ["en"], "max_duration_seconds": 60}}
    )

    categories: Texts | None = Field(default=None, description="only these")
    excluded_categories: Texts = ()
    languages: Texts | None = Field(default=None, description="only these")
    min_duration_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_duration_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_age_days: float | None = Field(default=None, gt=0, le=36_500, description="since publication")

    def as_filters(self, now: datetime) -> VideoFilters:
        """The same with a moment in place of an age."""
        fields = self.model_dump(exclude={"max_age_days"})
        if self.max_age_days is not None:
            fields["published_after"] = now - timedelta(days=self.max_age_days)
        return VideoFilters.model_validate(fields)


class RecallOptions(BaseModel):
    """How much to recall, and what may be in it."""

    model_config = ConfigDict(extra="forbid")

    top_n: int = Field(default=200, ge=1, le=1000, description="candidates wanted")
    explain: bool = Field(default=False, description="also report every interest of the user")
    exclude: list[Id] = Field(default=[], max_length=2000, description="videos that the caller has already")
    filters: FiltersBody = Field(default_factory=FiltersBody)
    arrange: Arrangement | None = Field(
        default=None, description="variety and limits, instead of those that the release came with"
    )
    record: bool = Field(
        default=True, description="note the candidates as exposures; false for looks of people and tests"
    )


class RecallRequest(RecallOptions):
    """Whom to recall for, and how."""

    model_config = ConfigDict(json_schema_extra={"example": {"user_id": 7, "top_n": 200, "explain": True}})

    user_id: Id = Field(description="id of the user in the watch logs")


class BatchRequest(RecallOptions):
    """Several users, the same options for all."""

    model_config = ConfigDict(json_schema_extra={"example": {"user_ids": [7, 8], "top_n": 50}})

    user_ids: list[Id] = Field(min_length=1, max_length=100)


class OriginBody(BaseModel):
    """One channel that found a candidate."""

    model_config = ConfigDict(from_attributes=True)

    channel: str = Field(description="name of the channel; popular where a popular video fills the list")
    rank: int = Field(description="place in the channel's own list, from 0")
    interests: list[int] = Field(description="interests that found it, best first; empty without interests")


class CandidateBody(BaseModel):
    """One video and where it comes from."""

    model_config = ConfigDict(from_attributes=True)

    video_id: int
    score: float = Field(description="fused score, or of a single channel its own; compare within one answer")
    interest: int = Field(description="interest that scores it highest, from 0; -1 if none found it")
    also_found_by: list[int] = Field(description="other interests of the same channel that found it")
    tags: list[int]
    uploader: int | None
    channels: list[OriginBody] = Field(
        description="every channel that found it; interest belongs to the first that names interests"
    )


class GroundsBody(BaseModel):
    """Why an interest is searched or pruned."""

    model_config = ConfigDict(from_attributes=True)

    num_positives: int = Field(description="positives of the history whose best interest it is")
    share: float = Field(description="of all positives, smoothed by the shares of all users in training")
    min_share: float = Field(description="a smaller share is pruned, but for the largest")
    is_copy: bool = Field(description="whether a more activated interest points the same way: pruned, too")


class InterestBody(BaseModel):
    """One interest of the user."""

    model_config = ConfigDict(from_attributes=True)

    channel: str = Field(description="channel that searches with it")
    interest: int
    weight: float = Field(description="share of the history's positives whose best interest this is")
    is_searched: bool = Field(description="false if it was pruned; grounds say why")
    num_found: int = Field(description="hits of its search")
    num_kept: int = Field(description="candidates under it after the merge")
    top_tags: list[int]
    nearest: list[int] = Field(description="videos that its search found first")
    grounds: GroundsBody | None = Field(description="null where no interest is ever pruned")


class RecallResponse(BaseModel):
    """Candidates from one release, best first."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": ANSWER})

    request_id: str = Field(description="watches that this answer leads to should name it")
    user_id: int
    release: str
    arm: str | None = Field(description="of the experiment that this user takes part in")
    reason: Reason | None = Field(description="why the list is not, or not only, what all channels found")
    left_out: dict[str, LeftOut] = Field(description="channels that failed or were late; others stand in")
    interests: list[InterestBody] = Field(description="empty unless explain was set")
    candidates: list[CandidateBody]


def recall_json(result: RecallResult) -> bytes:
    """A ``RecallResponse`` as JSON, straight from the result: to validate 200 candidates takes 3 ms."""
    interests = [InterestBody.model_validate(interest).model_dump() for interest in result.interests]
    body = {name: getattr(result, name) for name in RecallResponse.model_fields}
    return msgspec.json.encode(body | {"interests": interests})


class BatchResponse(BaseModel):
    """One answer per user, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={"example": {"answers": [ANSWER]}})

    answers: list[RecallResponse]


class InterestsResponse(BaseModel):
    """What a release knows of a user's interests."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {name: ANSWER[name] for name in ("user_id", "release", "reason", "interests")}
        },
    )

    user_id: int
    release: str
    reason: Reason | None = Field(description="why there are none, or not all are at work")
    interests: list[InterestBody]


class SimilarResponse(BaseModel):
    """Videos near another, nearest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"video_id": 4700, "release": ANSWER["release"], "candidates": ANSWER["candidates"]}
        }
    )

    video_id: int
    release: str
    candidates: list[CandidateBody]


class ReleaseResponse(BaseModel):
    """The release that this process answers from."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": "20260131T120000-123456-9f2c1a7b",
                "revision": 4,
                "bundles": {
                    "interests": "single_activation/20260131T120000-123456",
                    "ease": "ease/20260131T114500-654321",
                },
                "collections": {"interests": "videos_single_activation_20260131T120000_123456"},
                "merge": {
                    "weights": {"interests": 0.6, "ease": 0.4},
                    "fusion": "reciprocal_rank",
                    "depth": 500,
                },
                "created_at": "2026-01-31T12:05:00Z",
            }
        }
    )

    version: str
    revision: int = Field(description="grows by one with every flip")
    bundles: dict[str, str] = Field(description="bundle of each channel")
    collections: dict[str, str] = Field(description="Milvus collection of each channel that searches one")
    merge: MergeConfig = Field(description="how the channels become one list")
    created_at: datetime


class Readiness(BaseModel):
    """Whether full answers are possible, and if not, what is missing."""

    is_ready: bool
    missing: dict[str, str] = Field(description="what is wrong, by dependency: release, milvus, features")


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the documentation says about errors."""
    schema: Mapping[str, Any] = Problem.model_json_schema()
    content = {"application/problem+json": {"schema": schema}}
    return {status: {"description": "Problem", "content": content} for status in statuses}
