"""HTTP face of recall and of events. Parses, calls, counts, maps errors to status codes; no logic."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Literal

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from opentelemetry.trace import Tracer
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from features.errors import FacetError, RetryLaterError
from serving.admin import admin_router
from serving.api import Problem, Readiness, problem_responses
from serving.errors import UnknownVideoError
from serving.event_bodies import EventBatch, EventsRequest, EventsResponse
from serving.events import EventSink
from serving.exposures import ExposureLog
from serving.limits import BodyLimit, RateLimit
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.offline import OfflineVideos
from serving.pages.access import PageAccess
from serving.pages.layout import page, static_router, wants_page
from serving.recall_routes import BATCH, RECALL, recall_router
from serving.tracing import RequestIds, request_id

log = structlog.get_logger(__name__)

STOP_SECONDS: Final = 5.0
"""Longest wait for events that are not pushed yet when the app ends."""
HAND_OVER_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the app is built around; tests pass in their own."""

    live: LiveRecaller
    events: EventSink
    exposures: ExposureLog | None
    """``None``: answers are not recorded."""
    offline: OfflineVideos
    metrics: Metrics
    admin_key: SecretStr | None = None
    rate_limit: str | None = None
    """Requests of one address, such as ``100/second``."""
    pages: PageAccess = field(default_factory=PageAccess)
    """Who may see the pages."""
    page_routers: tuple[APIRouter, ...] = ()
    """A router for each page."""
    tracer: Tracer | None = None
    """Makes a span per request."""
    chores: Sequence[tuple[Callable[[], object], float]] = ()
    """Work beside the answers, and every how many seconds."""


def create_app(parts: Parts, *, poll_seconds: float = 2.0) -> FastAPI:
    """Build the app.

    Args:
        poll_seconds: how often the release pointer and the list of offline videos are read, while it runs.
    """
    logs = [part for part in (parts.events, parts.exposures) if part]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for part in logs:
            part.start()
        tasks = [
            asyncio.create_task(_repeat(work, seconds))
            for work, seconds in [
                (parts.live.refresh, poll_seconds),
                (parts.offline.refresh, poll_seconds),
                *((part.hand_over, HAND_OVER_SECONDS) for part in logs),
                *parts.chores,
            ]
        ]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for part in logs:
            await asyncio.to_thread(part.stop, STOP_SECONDS)

    app = FastAPIOffline(  # /docs without a CDN
        redoc_url=None,
        title="Facet",
        summary="Multi-interest recall for short video",
        version="1",
        lifespan=lifespan,
    )
    app.include_router(recall_router(parts.live, parts.metrics, parts.exposures))
    _add_events(app, parts.events)
    app.include_router(admin_router(parts.offline, parts.admin_key))
    _add_pages(app, parts)
    _add_operations(app, parts.live, parts.metrics)
    answer_bug = _add_error_handlers(app)
    app.add_middleware(BodyLimit)
    if parts.rate_limit:
        app.add_middleware(RateLimit, rate=parts.rate_limit)
    # Last, so it is the outermost: also what the limits refuse has an id and is counted.
    app.add_middleware(RequestIds, answer_bug, _count_errors(parts.metrics), tracer=parts.tracer)
    return app


def _add_events(app: FastAPI, sink: EventSink) -> None:
    @app.post("/v1/events", status_code=202, responses=problem_responses(422, 503), tags=["events"])
    def events(request: EventsRequest) -> EventsResponse:  # def: it waits for the disk
        """Watches that happened. They are on disk when this answers, and count in the user's next recall.

        Send a batch again if the answer was no 202: what was stored already counts once.
        """
        batch = request.events if isinstance(request, EventBatch) else [request]
        sink.store(batch)
        return EventsResponse(stored=len(batch))


def _add_pages(app: FastAPI, parts: Parts) -> None:
    app.include_router(static_router())
    for router in parts.page_routers:
        app.include_router(router, dependencies=[Depends(parts.pages)], include_in_schema=False)


def _add_operations(app: FastAPI, live: LiveRecaller, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Whether the process runs; says nothing about what it depends on."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], responses={503: {"model": Readiness}})
    def readyz(response: Response, of: Literal["release"] | None = None) -> Readiness:
        """Whether full answers are possible now: a release is open, Milvus and the feature store answer.

        With `of=release` only whether a release is open, for whoever decides where requests go: without
        Milvus or the feature store there still are answers, of popular videos.
        """
        missing = live.problems(stores=of is None)
        if missing:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Readiness(is_ready=not missing, missing=missing)

    @app.get("/metrics", tags=["operations"], response_class=Response)
    def prometheus() -> Response:  # def: it reads files of batch tasks
        """Metrics in Prometheus' text format."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _count_errors(metrics: Metrics) -> Callable[[str, int], None]:
    def note(path: str, status: int) -> None:
        if path in (RECALL, BATCH) and status != HTTPStatus.OK:
            metrics.count_request(status)

    return note


def _add_error_handlers(app: FastAPI) -> Callable[[Request], Response]:
    """Returns what answers where there is a bug."""

    def answer(
        request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        title = HTTPStatus(status).phrase
        if wants_page(request):
            reply: Response = page(request, "error.html", status, title=title, detail=detail)
        else:
            problem = Problem(title=title, status=status, detail=detail).model_dump()
            reply = JSONResponse(problem, status, media_type="application/problem+json")
        reply.headers.update(headers or {})
        return reply

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, _complaint(error))

    @app.exception_handler(FacetError)
    async def expected(request: Request, error: FacetError) -> Response:
        return answer(request, _status_of(error), str(error))

    @app.exception_handler(SQLAlchemyError)
    async def without_registry(request: Request, error: SQLAlchemyError) -> Response:
        log.error("the registry does not answer", error=str(error))
        detail = "the database of releases does not answer; try again, or check FACET_DATABASE_URL"
        return answer(request, HTTPStatus.SERVICE_UNAVAILABLE, detail)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return answer(request, error.status_code, str(error.detail), error.headers)

    def bug(request: Request) -> Response:
        detail = f"unexpected error; the log of serving tells of request {request_id()}"
        return answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)

    return bug


def _complaint(error: RequestValidationError) -> str:
    if isinstance(error.body, bytes):  # FastAPI reads no body that is not called JSON
        return "the body is not called JSON; send it with the header content-type: application/json"
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return f"the body is no JSON: {found[0]['ctx']['error']} (character {found[0]['loc'][-1]})"
    return "; ".join(f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in found)


def _status_of(error: FacetError) -> HTTPStatus:
    if isinstance(error, UnknownVideoError):
        return HTTPStatus.NOT_FOUND
    is_passing = isinstance(error, RetryLaterError)
    return HTTPStatus.SERVICE_UNAVAILABLE if is_passing else HTTPStatus.INTERNAL_SERVER_ERROR


async def _repeat(work: Callable[[], object], seconds: float) -> None:
    while True:
        try:
            await asyncio.to_thread(work)
        except Exception:  # a bug must not end, say, the following of releases
            log.exception("work beside the answers failed; it goes on")
        await asyncio.sleep(seconds)
