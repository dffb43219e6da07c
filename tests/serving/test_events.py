"""Events over HTTP: on disk before they are confirmed, pushed soon after, never lost."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from features.landing_log import LandingLog
from features.positives import Action, PositiveRule
from features.recent import RecentWatch
from features.schema import WATCHES
from features.settings import Settings
from serving.app import create_app
from serving.event_bodies import MAX_EVENTS
from serving.events import EventSink
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.settings import ServingSettings
from tests.serving.users import Shelf, parts_of, timed

NOON_US = 1_772_366_400_000_000  # 2026-03-01T12:00Z
DURATIONS = {20: 60.0}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@contextmanager
def running(settings: Settings, shelf: Shelf) -> Iterator[TestClient]:
    """A client of an app that starts and ends."""
    metrics = Metrics()
    live = LiveRecaller(settings, ServingSettings(), metrics=metrics, users=timed())
    durations = lambda ids: [DURATIONS.get(video_id) for video_id in ids]  # noqa: E731
    sink = EventSink(LandingLog(settings, WATCHES), lambda: shelf, durations, PositiveRule(), metrics)
    app = create_app(replace(parts_of(settings, live, metrics), events=sink))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(settings: Settings, shelf: Shelf) -> Iterator[TestClient]:
    with running(settings, shelf) as client:
        yield client


def event(name: str = "a", **changes: object) -> dict[str, Any]:
    known = {"event_id": name, "user_id": 7, "video_id": 20, "event_time": "2026-03-01T12:00:00Z"}
    return known | changes


def spooled(settings: Settings) -> list[dict[str, Any]]:
    """Rows on disk that have not landed."""
    paths = (settings.spool / WATCHES).glob("*.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def wait_for(shelf: Shelf, number: int) -> None:
    deadline = time.monotonic() + 20
    while len(shelf.pushed) < number:
        assert time.monotonic() < deadline, f"{len(shelf.pushed)} of {number} events were pushed"
        time.sleep(0.01)


def test_one_event_is_on_disk_when_it_is_confirmed(client: TestClient, settings: Settings) -> None:
    answer = client.post("/v1/events", json=event(watch_seconds=2.5, liked=True, request_id="r1"))
    assert (answer.status_code, answer.json()) == (202, {"stored": 1})
    assert spooled(settings) == [event(watch_seconds=2.5, liked=True, request_id="r1")]


def test_a_pushed_event_has_the_action_bits_that_ingest_will_give_it(
    client: TestClient, shelf: Shelf
) -> None:
    batch = [
        event("long", watch_seconds=20.0, event_time="2026-03-01T13:00:00+01:00"),  # of 60 s: 18 suffice
        event("skip", video_id=99, watch_seconds=1.0, disliked=True),
        event("told", video_id=99, watch_seconds=1.0, long_watch=True),
    ]
    assert client.post("/v1/events", json={"events": batch}).json() == {"stored": 3}
    wait_for(shelf, 3)
    assert sorted(shelf.pushed) == [
        (7, RecentWatch(NOON_US, "long", 20, int(Action.POSITIVE))),
        (7, RecentWatch(NOON_US, "skip", 99, int(Action.DISLIKED | Action.QUICK_SKIP))),
        (7, RecentWatch(NOON_US, "told", 99, int(Action.POSITIVE))),
    ]


@pytest.mark.parametrize(
    "moment",
    [
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        "1999-12-31T23:59:59Z",
    ],
)
def test_an_event_with_a_time_that_ingest_refuses_is_stored_and_not_pushed(
    client: TestClient, settings: Settings, shelf: Shelf, moment: str
) -> None:
    batch = [event("odd", event_time=moment), event("good")]
    assert client.post("/v1/events", json={"events": batch}).status_code == 202
    wait_for(shelf, 1)
    assert [watch.event_id for _, watch in shelf.pushed] == ["good"], (
        "it would make all ages of a history wrong"
    )
    assert [row["event_id"] for row in spooled(settings)] == ["odd", "good"]
    assert 'facet_events_total{outcome="wrong_clock"} 1.0' in client.get("/metrics").text


def test_a_store_that_is_away_delays_the_push_and_not_the_answer(client: TestClient, shelf: Shelf) -> None:
    shelf.opened.clear()
    for number in range(5):
        assert client.post("/v1/events", json=event(str(number))).status_code == 202
    assert not shelf.pushed
    shelf.opened.set()
    wait_for(shelf, 5)
    assert [watch.event_id for _, watch in shelf.pushed] == ["0", "1", "2", "3", "4"]


def test_events_that_cannot_be_stored_are_refused_and_counted(client: TestClient, settings: Settings) -> None:
    settings.root.mkdir(parents=True, exist_ok=True)
    (settings.root / "spool").touch()  # where a folder should be
    reply = client.post("/v1/events", json={"events": [event("a"), event("b")]})
    assert reply.status_code == 503
    assert 'facet_events_total{outcome="refused"} 2.0' in client.get("/metrics").text


def test_events_land_when_the_app_ends(settings: Settings, shelf: Shelf) -> None:
    with running(settings, shelf) as client:
        client.post("/v1/events", json=event())
        assert not list(settings.landing.rglob("*.jsonl"))
    (path,) = settings.landing.rglob("*.jsonl")
    assert json.loads(path.read_text()) == event()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (event(user_id=-1), "user_id"),
        (event(event_time="2026-03-01T12:00:00"), "event_time"),  # no offset
        (event(watch_seconds=-1), "watch_seconds"),
        (event(likd=True), "likd"),
        ({"events": []}, "events"),
        ({"events": [event()] * (MAX_EVENTS + 1)}, "events"),
        ({"events": [event(), event(video_id="x")]}, "events.1.video_id"),
    ],
)
def test_a_bad_event_is_refused_with_the_name_of_the_field_and_nothing_is_stored(
    client: TestClient, settings: Settings, body: dict[str, Any], named: str
) -> None:
    answer = client.post("/v1/events", json=body)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]
    assert not spooled(settings)


def test_what_became_of_events_is_counted(client: TestClient, shelf: Shelf) -> None:
    client.post("/v1/events", json={"events": [event("a"), event("b")]})
    wait_for(shelf, 2)
    deadline = time.monotonic() + 20
    while 'facet_events_total{outcome="pushed"} 2.0' not in client.get("/metrics").text:
        assert time.monotonic() < deadline
    assert 'facet_events_total{outcome="stored"} 2.0' in client.get("/metrics").text
