"""Every row that is read is kept, a duplicate, or in quarantine; and nothing else ever happens to it."""

import multiprocessing
import random
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.errors import BadInputError, InvalidDataError, StaleStageError
from features.ingest import commit, ingest, newest_committed_day, stage
from features.lake import Lake
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.validation import validate
from tests.features.landing_rows import DAY, land, land_day, user, video, watch

NEXT_DAY = "2026-03-03"


def checksums(settings: Settings) -> dict[str, str]:
    lake = Lake(settings)
    return {
        f"{table}/{day}": lake.checksum(table, day)
        for table in (WATCHES, VIDEOS, USERS)
        for day in lake.day_counts(table)
    }


def test_a_file_of_every_kind_of_bad_row_is_accounted_for_row_by_row(settings: Settings) -> None:
    good = [watch(f"good{i}", hour=i % 24) for i in range(200)]
    bad = [
        (b'{"event_id": "x", ', "not JSON"),
        (b"\xc3\x28", "not UTF-8"),
        (watch("x", user_id=-1), "user_id is negative"),
        (b"plain text", "not JSON"),
        (watch("x", liked=2), "liked is not true or false"),
    ]
    land_day(settings, [*good, *(row for row, _ in bad), watch("good0")])
    ingest([DAY], settings=settings)
    kept = Lake(settings).read_days(WATCHES)
    refused = pq.read_table(settings.quarantine / WATCHES / f"{DAY}.parquet").to_pylist()
    assert sorted(kept["event_id"].to_pylist()) == sorted(row["event_id"] for row in good)
    assert [(row["line"], row["rule"]) for row in refused] == [
        (line, rule) for line, (_, rule) in enumerate(bad, start=201)
    ]
    assert {row["file"] for row in refused} == {f"watches/{DAY}/a.jsonl"}
    assert refused[3]["raw"] == "plain text"


def test_values_get_their_types(settings: Settings) -> None:
    row = watch(
        "a", user_id="0", long_watch="True", liked=0, interest=3, event_time="2026-03-02T08:00:00.5+08:00"
    )
    land_day(settings, [row, watch("b", hour=13, watch_seconds=None)])
    ingest([DAY], settings=settings)
    first, second = Lake(settings).read_days(WATCHES).to_pylist()
    assert (first["user_id"], first["long_watch"], first["liked"], first["interest"]) == (0, True, False, 3)
    assert first["event_time"].isoformat() == "2026-03-02T00:00:00.500000+00:00"
    assert (second["watch_seconds"], second["liked"]) == (None, None), "unknown stays unknown"


def test_the_first_of_equal_event_ids_wins(settings: Settings) -> None:
    land(settings, WATCHES, [watch("a", video_id=1), watch("a", video_id=2)], name="1.jsonl")
    land(settings, WATCHES, [watch("a", video_id=3), watch("b")], name="2.jsonl")
    land(settings, VIDEOS, [video(i) for i in range(10)])
    [_, count] = ingest([DAY], settings=settings).counts
    assert (count.read, count.kept, count.duplicate) == (4, 2, 2)
    assert Lake(settings).read_days(WATCHES)["video_id"].to_pylist() == [1, 7]


def test_late_events_rewrite_their_own_day(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    ingest([DAY], settings=settings)
    land_day(settings, [watch("late", hour=23), watch("b", day=NEXT_DAY), watch("a")], day=NEXT_DAY)
    [_, _, count] = ingest([NEXT_DAY], settings=settings).counts
    assert (count.read, count.kept, count.duplicate) == (3, 2, 1), (
        "the repeated event of yesterday is a duplicate"
    )
    assert Lake(settings).day_counts(WATCHES) == {DAY: 2, NEXT_DAY: 1}


def test_order_and_grouping_of_ingests_do_not_matter(settings: Settings, tmp_path: Path) -> None:
    results = []
    for i, calls in enumerate(
        [[[DAY, NEXT_DAY]], [[DAY], [NEXT_DAY]], [[NEXT_DAY], [DAY]], [[DAY], [NEXT_DAY], [DAY]]]
    ):
        own = Settings(home=tmp_path / str(i))
        land_day(own, [watch("a", liked=True), watch("c")])
        land_day(own, [watch("a", liked=False), watch("late"), watch("b", day=NEXT_DAY)], day=NEXT_DAY)
        for days in calls:
            ingest(days, settings=own)
        results.append(checksums(own))
    assert results[1:] == results[:1] * 3


def test_a_changed_file_replaces_what_it_brought_before(settings: Settings) -> None:
    land_day(settings, [watch("a"), watch("wrong")])
    ingest([DAY], settings=settings)
    land_day(settings, [watch("a")])
    ingest([DAY], settings=settings)
    assert Lake(settings).read_days(WATCHES)["event_id"].to_pylist() == ["a"]


def test_snapshots_have_one_partition_per_landing_day(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    land(settings, VIDEOS, [video(1, title="x"), video(1, title="y"), video(-1)], name="b.jsonl")
    land(settings, USERS, [user(1, profile="no list")], name="b.jsonl")
    videos, users, _ = ingest([DAY], settings=settings).counts
    assert (videos.kept, videos.duplicate, videos.rules) == (10, 2, {"video_id is negative": 1})
    assert users.rules == {"profile is not a list of texts": 1}


def test_nothing_is_visible_before_validation(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    folder = stage([DAY], settings=settings)
    with pytest.raises(InvalidDataError, match="has not passed validation"):
        commit(folder, settings=settings)
    assert not Lake(settings).has(WATCHES)


def test_a_stage_is_refused_when_its_partition_changed_meanwhile(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    land_day(settings, [watch("late"), watch("b", day=NEXT_DAY)], day=NEXT_DAY)
    folder = validate(stage([NEXT_DAY], settings=settings), settings=settings)
    ingest([DAY], settings=settings)
    with pytest.raises(StaleStageError, match=f"watches {DAY} was rewritten"):
        commit(folder, settings=settings)


def test_commit_can_be_repeated(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    folder = validate(stage([DAY], settings=settings), settings=settings)
    commit(folder, settings=settings)
    before = checksums(settings)
    assert commit(folder, settings=settings) == [DAY]
    assert checksums(settings) == before


def test_a_stage_clears_those_that_are_committed_and_what_a_kill_left_of_one(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    land_day(settings, [watch("b", day=NEXT_DAY)], day=NEXT_DAY)
    ingest([DAY], settings=settings)
    half_removed = settings.staging / ".cleared-1234"
    half_removed.mkdir()
    (half_removed / "stage.json").touch()
    folder = stage([NEXT_DAY], settings=settings)
    assert [str(path) for path in settings.staging.iterdir()] == [folder]


def test_a_truncated_file_stops_the_ingest_and_is_named(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    path = land(settings, WATCHES, [watch(f"b{i}") for i in range(1000)], name="b.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInputError, match=r"b\.jsonl\.gz cannot be read to its end"):
        ingest([DAY], settings=settings)
    assert not Lake(settings).has(WATCHES)


def test_a_day_without_files_is_an_error_not_an_empty_day(settings: Settings) -> None:
    with pytest.raises(BadInputError, match="holds no files"):
        ingest([DAY], settings=settings)


@pytest.mark.slow
def test_killed_at_random_moments_and_run_again_gives_the_same_tables(tmp_path: Path) -> None:
    undisturbed, victim = (_two_days(tmp_path / name) for name in ("undisturbed", "victim"))
    processes = multiprocessing.get_context("forkserver")  # imports once, so that kills hit the work itself
    processes.set_forkserver_preload(["great_expectations", "features.ingest", "features.validation"])

    def start(settings: Settings) -> multiprocessing.process.BaseProcess:
        process = processes.Process(target=ingest, args=([DAY, NEXT_DAY],), kwargs={"settings": settings})
        process.start()
        return process

    start(undisturbed).join()
    started = time.monotonic()
    start(undisturbed).join()
    duration = time.monotonic() - started
    chance = random.Random(7)
    killed = 0
    for _ in range(10):
        process = start(victim)
        process.join(chance.uniform(0.05, 1) * duration)
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    assert killed >= 5, "the kills came too late to prove anything"
    last = start(victim)
    last.join()
    assert last.exitcode == 0
    assert checksums(victim) == checksums(undisturbed)


def _two_days(home: Path) -> Settings:
    own = Settings(home=home)
    land_day(own, [watch(f"a{i}", hour=i % 24) for i in range(2000)])
    late = [watch(f"l{i}") for i in range(100)]
    today = [watch(f"b{i}", day=NEXT_DAY, hour=i % 24) for i in range(2000)]
    land_day(own, late + today, day=NEXT_DAY)
    return own


def test_a_day_is_committed_when_its_stage_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert newest_committed_day(settings=settings) is None
    land_day(settings, [watch("b", day=NEXT_DAY)], day=NEXT_DAY)
    land_day(settings, [watch("a")])
    folder = stage([NEXT_DAY], settings=settings)
    validate(folder, settings=settings)
    assert newest_committed_day(settings=settings) is None
    commit(folder, settings=settings)
    ingest([DAY], settings=settings)
    assert newest_committed_day(settings=settings) == NEXT_DAY, "the newest day, not the last one committed"
