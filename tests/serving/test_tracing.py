"""One id per request in answer, header, log and span."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import LogCapture

from features.settings import Settings
from serving.app import create_app
from serving.live import LiveRecaller
from serving.lookup import TimedLookup
from serving.metrics import Metrics
from serving.publish import publish
from serving.settings import ServingSettings
from tests.serving.bundles import write_interests
from tests.serving.users import BrokenStore, parts_of

CALLER = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def logged() -> Iterator[LogCapture]:
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture
    structlog.configure(**before)


@pytest.mark.server
def test_an_answer_its_header_its_log_lines_and_its_span_have_one_id(
    settings: Settings, milvus: ServingSettings, logged: LogCapture
) -> None:
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    metrics = Metrics()
    users = TimedLookup(BrokenStore(), timeout_seconds=20.0)
    live = LiveRecaller(settings, milvus, metrics=metrics, users=users)
    live.refresh()
    parts = replace(parts_of(settings, live, metrics), tracer=provider.get_tracer("test"))
    client = TestClient(create_app(parts))
    headers = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
    reply = client.post("/v1/recall", json={"user_id": 1, "top_n": 2}, headers=headers)
    request_id = reply.json()["request_id"]
    assert reply.headers["x-request-id"] == request_id
    (failed,) = [line for line in logged.entries if line["event"] == "features unavailable"]
    assert failed["request_id"] == request_id
    (span,) = spans.get_finished_spans()
    facts = dict(span.attributes or {})
    assert (span.name, facts["request_id"], facts["http.response.status_code"]) == (
        "POST /v1/recall",
        request_id,
        200,
    )
    assert facts["facet.reason"] == "features_unavailable"
    assert facts["facet.merge_ms"] > 0
    assert f"{span.context.trace_id:032x}" == CALLER


def test_a_bug_is_logged_under_the_id_that_the_caller_is_told(settings: Settings, logged: LogCapture) -> None:
    live = LiveRecaller(settings, ServingSettings(), metrics=Metrics())
    app = create_app(parts_of(settings, live, Metrics()))

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError

    reply = TestClient(app).get("/bug")
    request_id = reply.headers["x-request-id"]
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/problem+json")
    assert reply.json()["detail"] == f"unexpected error; the log of serving tells of request {request_id}"
    [line] = [line for line in logged.entries if line["event"] == "unexpected error"]
    assert (line["request_id"], line["exc_info"]) == (request_id, True)


def test_without_a_tracer_there_are_ids_all_the_same(settings: Settings) -> None:
    metrics = Metrics()
    live = LiveRecaller(settings, ServingSettings(), metrics=metrics)
    client = TestClient(create_app(parts_of(settings, live, metrics)))
    ids = {client.get("/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    refused = client.post("/v1/recall", content=json.dumps({"user_id": -1}))
    assert (refused.status_code, len(refused.headers["x-request-id"])) == (422, 32)
