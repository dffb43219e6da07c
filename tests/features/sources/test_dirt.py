"""Dirt comes on top of a log, is counted by kind, and takes nothing away."""

import gzip
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features import schema
from features.ingest import ingest
from features.lake import Lake
from features.settings import Settings
from features.sources.dirt import CLOCK_SKEW, DUPLICATE, LATE, MALFORMED
from features.sources.simulator import SimulationConfig, SimulationReport, simulate
from tests.features.sources.landed import landed_rows

CONFIG = SimulationConfig(num_users=120, num_videos=400, num_uploaders=50, num_days=7, dirt=0.1)
World = tuple[Settings, SimulationReport]


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Seven days; the last one comes as Parquet, its broken lines as a text file."""
    settings = Settings(home=tmp_path_factory.mktemp("dirty"))
    return settings, simulate(CONFIG, settings)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The same world without dirt."""
    settings = Settings(home=tmp_path_factory.mktemp("clean"))
    return settings, simulate(CONFIG.model_copy(update={"dirt": 0}), settings)


def test_every_kind_of_dirt_occurs_and_the_truth_counts_it(dirty: World) -> None:
    settings, report = dirty
    assert set(report.dirt) == {LATE, DUPLICATE, CLOCK_SKEW, *MALFORMED}
    truth = pq.read_table(settings.truth / "dirt.parquet").to_pylist()
    counted: Counter[str] = Counter()
    for row in truth:
        counted[row["kind"]] += row["rows"]
    assert dict(counted) == report.dirt
    # Every tenth watch is affected, less the late ones of the last day, which have no later folder.
    assert sum(report.dirt.values()) == pytest.approx(0.1 * report.num_events, rel=0.2)


def test_files_hold_the_clean_log_and_every_extra_row(dirty: World, clean: World) -> None:
    report = dirty[1]
    assert report.num_events == clean[1].num_events
    extra = sum(rows for kind, rows in report.dirt.items() if kind != LATE)
    assert sum(report.rows[schema.WATCHES].values()) == report.num_events + extra
    for day, rows in report.rows[schema.WATCHES].items():
        assert rows == _num_rows(dirty[0], day)


def test_late_rows_come_one_to_three_days_after_their_event(dirty: World) -> None:
    lateness: Counter[int] = Counter()
    folder = dirty[0].landing / schema.WATCHES / CONFIG.days[-1]
    for row in [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]:
        event_day = row[schema.EVENT_TIME].date().isoformat()
        if event_day < CONFIG.days[-1]:
            lateness[CONFIG.days.index(CONFIG.days[-1]) - CONFIG.days.index(event_day)] += 1
    assert set(lateness) == {1, 2, 3}


@pytest.mark.slow
def test_ingest_of_the_dirty_log_keeps_exactly_the_clean_one(dirty: World, clean: World) -> None:
    report = dirty[1]
    counts = [
        count for count in ingest(CONFIG.days, settings=dirty[0]).counts if count.table == schema.WATCHES
    ]
    assert sum(count.duplicate for count in counts) == report.dirt[DUPLICATE]
    refused = sum(report.dirt[kind] for kind in (CLOCK_SKEW, *MALFORMED))
    assert sum(count.quarantined for count in counts) == refused
    kept = Lake(dirty[0]).read_days(schema.WATCHES, CONFIG.days).to_pylist()
    expected = {
        row[schema.EVENT_ID]: str(row[schema.VIDEO_ID]) for row in landed_rows(clean[0], schema.WATCHES)
    }
    assert {row[schema.EVENT_ID]: str(row[schema.VIDEO_ID]) for row in kept} == expected


def _num_rows(settings: Settings, day: str) -> int:
    return sum(_rows_of(path) for path in (settings.landing / schema.WATCHES / day).iterdir())


def _rows_of(path: Path) -> int:
    if path.suffix == ".parquet":
        return pq.read_metadata(path).num_rows
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return text.count(b"\n") - (path.suffix == ".csv")
