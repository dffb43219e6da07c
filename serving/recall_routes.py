"""Routes of recall: for one user, for many, what is behind it, what is like a video."""

import time
from collections.abc import Sequence
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
    RecallOptions,
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
from serving.recall import Recaller
from serving.result import RecallResult
from serving.tracing import request_id, tell_answer

RECALL: Final = "/v1/recall"
BATCH: Final = f"{RECALL}:batch"
LOOKED_AT: Final = 200
"""Candidates behind an explanation of interests."""


class Answers:
    """Answers requests: by the arm of the user, counted, recorded."""

    def __init__(self, live: LiveRecaller, metrics: Metrics, exposures: ExposureLog | None) -> None:
        self._live, self._metrics, self._exposures = live, metrics, exposures

    def give(self, user_ids: Sequence[int], request: RecallOptions, ids: Sequence[str]) -> list[RecallResult]:
        """Look up, search and merge for each user, all from the same release; blocks.

        Args:
            ids: name the answers, also in what is logged meanwhile.
        """
        chosen = self._live.recallers_of(user_ids)
        found = []
        for user_id, name, (recaller, arm) in zip(user_ids, ids, chosen, strict=True):
            with bound_contextvars(request_id=name):
                found.append(self._answer(user_id, request, name, recaller, arm))
        return found

    def _answer(
        self, user_id: int, request: RecallOptions, name: str, recaller: Recaller, arm: str | None
    ) -> RecallResult:
        started = time.perf_counter()
        result = recaller.recall(
            user_id,
            request.top_n,
            request.explain,
            filters=request.filters.as_filters(datetime.now(UTC)),
            exclude=request.exclude,
            arrangement=request.arrange,
        )
        self._metrics.count_answer(result, time.perf_counter() - started, top_n=request.top_n)
        result = replace(result, arm=arm, request_id=name)
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
        [answer] = answers.give([request.user_id], request, [request_id()])
        return _json(recall_json(answer))

    @router.post(BATCH, response_model=BatchResponse)
    def recall_batch(request: BatchRequest) -> Response:
        """The same for several users, in their order; an answer each, with a request id each."""
        ids = [uuid4().hex for _ in request.user_ids]
        bodies = map(recall_json, answers.give(request.user_ids, request, ids))
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
