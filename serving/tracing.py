"""One id per request, in its answer and in every line that is logged for it; and spans, if wanted.

The id is the ``request_id`` of an answer of recall, the header ``X-Request-ID`` and an attribute of the span.
A caller's W3C ``traceparent`` is taken over. Without ``FACET_OTEL_ENDPOINT`` no span is made.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import structlog
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars

from serving.result import RecallResult

log = structlog.get_logger(__name__)

HEADER: Final = b"x-request-id"
REQUEST_ID: Final = "request_id"


class RequestIds:
    """Middleware around every HTTP request.

    Args:
        answer_bug: answers what no handler of ``app`` did; the traceback is logged here, with the id.
        note: gets path and status of every answer.
        tracer: makes a span per request.
    """

    def __init__(
        self,
        app: ASGIApp,
        answer_bug: Callable[[Request], Response],
        note: Callable[[str, int], None],
        tracer: Tracer | None = None,
    ) -> None:
        self._app, self._answer_bug, self._note, self._tracer = app, answer_bug, note, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, is_begun = uuid4().hex, False
        with bound_contextvars(request_id=request_id), self._span(scope, request_id) as span:

            async def send_with_id(message: Message) -> None:
                nonlocal is_begun
                if message["type"] == "http.response.start":
                    is_begun = True
                    message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
                    _tell_end(span, scope, message["status"])
                    self._note(scope["path"], message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                log.exception("unexpected error", path=scope["path"])
                if is_begun:
                    raise
                await self._answer_bug(Request(scope))(scope, receive, send_with_id)

    @contextmanager
    def _span(self, scope: Scope, request_id: str) -> Iterator[Span]:
        if self._tracer is None:
            yield trace.INVALID_SPAN
            return
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.start_as_current_span(
            scope["method"],
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                REQUEST_ID: request_id,
            },
        ) as span:
            yield span


def request_id() -> str:
    """The id of the request that is answered now; a new one outside of requests."""
    return str(get_contextvars().get(REQUEST_ID) or uuid4().hex)


def tell_answer(result: RecallResult) -> None:
    """Put what an answer is made of, and the milliseconds of its stages, on the span of the request."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    facts: dict[str, Any] = {
        "facet.release": result.release,
        "facet.strategy": result.strategy,
        "facet.reason": result.reason.value if result.reason else "",
        "facet.candidates": len(result.candidates),
        "facet.interests": result.tally.num_interests,
        "facet.interests_searched": result.tally.num_searched,
    }
    stages = {f"facet.{name}_ms": 1000 * seconds for name, seconds in result.stage_seconds.items()}
    span.set_attributes(facts | stages)


def open_tracer(endpoint: str) -> Tracer:
    """Spans go to an OTLP collector over HTTP, in the background; one that is away costs spans, not answers.

    Args:
        endpoint: whole address, such as ``http://127.0.0.1:4318/v1/traces``.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "facet"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    return provider.get_tracer("facet.serving")


def _tell_end(span: Span, scope: Scope, status: int) -> None:
    if not span.is_recording():
        return
    route = getattr(scope.get("route"), "path", None)
    if route:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
