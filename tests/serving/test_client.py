"""The client against a small real server: what it sends, what it tries again, what it raises."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from serving.api import ANSWER, RecallRequest, RecallResponse
from serving.client import FacetClient, FacetClientError
from serving.event_bodies import EventBatch, EventsResponse, WatchEvent
from tests.serving.conftest import free_port

BUSY = {"title": "Service Unavailable", "status": 503, "detail": "no release is live yet"}


class Service:
    """Answers like Facet, after being busy for some requests."""

    def __init__(self) -> None:
        self.busy = 0
        self.asked: list[RecallRequest] = []
        self.events: list[WatchEvent] = []
        self.app = FastAPI()

        @self.app.post("/v1/recall", response_model=None)
        def recall(request: RecallRequest) -> RecallResponse | JSONResponse:
            self.asked.append(request)
            if self.busy:
                self.busy -= 1
                return JSONResponse(BUSY, 503, media_type="application/problem+json")
            return RecallResponse.model_validate(ANSWER | {"left_out": {}, "user_id": request.user_id})

        @self.app.post("/v1/events", status_code=202)
        def events(batch: EventBatch) -> EventsResponse:
            self.events += batch.events
            return EventsResponse(stored=len(batch.events))


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[Service, str]]:
    service, port = Service(), free_port()
    server = uvicorn.Server(uvicorn.Config(service.app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield service, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def service(address: tuple[Service, str]) -> Service:
    service = address[0]
    service.busy, service.asked, service.events = 0, [], []
    return service


@pytest.fixture
def client(address: tuple[Service, str]) -> Iterator[FacetClient]:
    with FacetClient(address[1], timeout_seconds=20.0, attempts=20) as client:
        yield client


def test_options_become_the_request_and_the_answer_is_typed(service: Service, client: FacetClient) -> None:
    answer = client.recall(7, top_n=3, filters={"languages": ["en"]})
    assert isinstance(answer, RecallResponse)
    assert answer.candidates[0].video_id == 4711
    [asked] = service.asked
    assert (asked.user_id, asked.top_n, asked.filters.languages) == (7, 3, ("en",))


def test_a_busy_service_is_asked_again(service: Service, client: FacetClient) -> None:
    client.recall(7)  # waits until the server is up
    service.busy, service.asked = 2, []
    assert client.recall(7).user_id == 7
    assert len(service.asked) == 3


def test_a_service_that_stays_busy_or_refuses_is_an_error_with_its_reason(
    service: Service, address: tuple[Service, str]
) -> None:
    service.busy = 99
    with (
        FacetClient(address[1], attempts=2) as client,
        pytest.raises(FacetClientError, match="no release") as busy,
    ):
        client.recall(7)
    assert busy.value.status == 503
    assert len(service.asked) == 2
    with FacetClient(address[1]) as client, pytest.raises(FacetClientError, match="404"):
        client.release()
    with (
        FacetClient(f"http://127.0.0.1:{free_port()}", attempts=1) as client,
        pytest.raises(FacetClientError, match="no answer"),
    ):
        client.release()


def test_events_are_sent_together(service: Service, client: FacetClient) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    events = [WatchEvent(event_id=name, user_id=1, video_id=2, event_time=moment) for name in "ab"]
    assert client.send(events) == 2
    assert service.events == events
