"""Routes of recall: for one user, for many, what is behind it, what is like a video."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Response
from structlog.contextvars import bound_contextvars

from serving.api import (
    BatchRequest,
    BatchResponse,
    CandidateBody,
    Id,
    InterestsResponse,
    RecallRequest,
    RecallResponse,
    ReleaseResponse,
    SimilarResponse,
    problem_responses,
    recall_json,
)
from serving.exposures import ExposureLog
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.result import RecallResult
from serving.tracing import request_id, tell_answer

RECALL: Final = "/v1/recall"
LOOKED_AT: Final = 200
"""Candidates behind an explanation of interests."""


class Answers:
    """Answers requests: by the arm of the user, counted, recorded."""

    def __init__(self, live: LiveRecaller, metrics: Metrics, exposures: ExposureLog | None) -> None:
        self._live, self._metrics, self._exposures = live, metrics, exposures

    def answer(self, request: RecallRequest, request_id: str) -> RecallResult:
        """Look up, search and merge; blocks.

        Args:
            request_id: names the answer, also in what is logged meanwhile.
        """
        with bound_contextvars(request_id=request_id):
            return self._answer(request, request_id)

    def _answer(self, request: RecallRequest, request_id: str) -> RecallResult:
        started = time.perf_counter()
        recaller, arm = self._live.recaller_of(request.user_id)
        result = recaller.recall(
            request.user_id,
            request.top_n,
            request.explain,
            filters=request.filters.as_filters(datetime.now(UTC)),
            exclude=request.exclude,
            arrangement=request.arrange,
        )
        self._metrics.count_answer(result, time.perf_counter() - started, top_n=request.top_n)
        result = replace(result, arm=arm, request_id=request_id)
        recaller.catalogue.shown.note([each.video_id for each in result.candidates])
        tell_answer(result)
        if self._exposures and request.record:
            self._exposures.note(result, recaller.release.merge.cap)
        return result


def recall_router(live: LiveRecaller, metrics: Metrics, exposures: ExposureLog | None) -> APIRouter:
    """The routes.

    Args:
        exposures: where answers are recorded, if they are.
    """
    router = APIRouter(tags=["recall"], responses=problem_responses(422, 503))
    answers = Answers(live, metrics, exposures)

    @router.post(RECALL, response_model=RecallResponse)
    def recall(request: RecallRequest) -> Response:  # def, here and below: look-up and search block
        """The best videos for a user, each with the interest that found it; nothing the user has seen."""
        return _json(recall_json(answers.answer(request, request_id())))

    @router.post(f"{RECALL}:batch", response_model=BatchResponse)
    def recall_batch(request: BatchRequest) -> Response:
        """The same for several users, in their order; an answer each, with a request id each."""
        options = request.model_dump(exclude={"user_ids"})
        requests = [RecallRequest(user_id=user_id, **options) for user_id in request.user_ids]
        bodies = [recall_json(answers.answer(each, uuid4().hex)) for each in requests]
        return _json(b'{"answers":[' + b",".join(bodies) + b"]}")

    @router.get("/v1/users/{user_id}/interests")
    def interests(user_id: Annotated[Id, Path()]) -> InterestsResponse:
        """Interests of a user: how strong each is, whether it is searched, what lies nearest to it."""
        recaller, _ = live.recaller_of(user_id)
        return InterestsResponse.model_validate(recaller.recall(user_id, LOOKED_AT, explain=True))

    @router.get("/v1/videos/{video_id}/similar", responses=problem_responses(404))
    def similar(
        video_id: Annotated[Id, Path()], top_n: Annotated[int, Query(ge=1, le=1000)] = 20
    ) -> SimilarResponse:
        """Videos that lie nearest to a video, by the vectors of the multi-interest channel."""
        recaller = live.recaller
        found = [CandidateBody.model_validate(each) for each in recaller.similar(video_id, top_n)]
        return SimilarResponse(video_id=video_id, release=recaller.release.version, candidates=found)

    @router.get("/v1/release")
    def release() -> ReleaseResponse:
        """The release that this process answers from."""
        found = live.recaller.release
        return ReleaseResponse(
            version=found.version,
            revision=found.revision,
            bundles=found.bundles,
            collections=found.collections,
            merge=found.merge,
            created_at=found.created_at.replace(tzinfo=UTC),
        )

    return router


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
