"""Answers become rows of the table of exposures, once, and never hold up or break an answer."""

import json
from pathlib import Path

import pytest

from features.landing_log import LandingLog
from features.schema import EXPOSURES, SCHEMAS
from features.settings import Settings
from serving.exposures import MAX_WAITING, ExposureLog
from serving.metrics import Metrics
from serving.result import NO_INTEREST, Candidate, Origin, RecallResult

RESULT = RecallResult(
    7,
    "r1",
    None,
    (),
    (
        Candidate(30, 0.9, 2, (), (1,), 4, (Origin("interests", 0, (2,)), Origin("ease", 3, ()))),
        Candidate(40, 0.1, NO_INTEREST, (), (), None, (Origin("popular", 0, ()),)),
        Candidate(50, 0.1, 1, (), (), None, (Origin("ease", 1, ()), Origin("pinnersage", 0, (1, 0)))),
    ),
    arm="b",
    request_id="q1",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def recorder(settings: Settings, metrics: Metrics | None = None) -> ExposureLog:
    return ExposureLog(LandingLog(settings, EXPOSURES), metrics or Metrics())


def landed(settings: Settings) -> list[dict]:
    paths = (settings.landing / EXPOSURES).rglob("*.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_every_candidate_is_a_row_with_its_place_and_where_it_comes_from(settings: Settings) -> None:
    log = recorder(settings)
    log.start()
    log.note(RESULT)
    log.stop(20.0)
    first, second, third = landed(settings)
    moment = first["event_time"]
    assert second["event_time"] == third["event_time"] == moment
    common = {"request_id": "q1", "user_id": 7, "event_time": moment, "release": "r1", "arm": "b"}
    assert first == common | {"video_id": 30, "rank": 0, "channel": "interests", "interest": 2}
    assert second == common | {"video_id": 40, "rank": 1, "channel": "popular", "interest": None}
    assert third == common | {"video_id": 50, "rank": 2, "channel": "ease", "interest": None}
    assert first.keys() <= set(SCHEMAS[EXPOSURES].names)


def test_what_cannot_be_written_is_counted_and_breaks_nothing(settings: Settings) -> None:
    metrics = Metrics()
    log = recorder(settings, metrics)
    settings.spool.mkdir()
    (settings.spool / EXPOSURES).write_text("a file where the folder should be")
    log.start()
    log.note(RESULT)
    log._writing.stop(20.0)
    assert b'facet_exposures_total{outcome="lost"} 3.0' in metrics.render()


def test_more_than_fits_the_queue_is_counted_as_lost(settings: Settings) -> None:
    metrics = Metrics()
    log = recorder(settings, metrics)  # not started: nothing leaves the queue
    for _ in range(MAX_WAITING + 3):
        log.note(RESULT)
    assert b'facet_exposures_total{outcome="lost"} 9.0' in metrics.render()
