"""Only rows that differ are written, whatever happened to snapshots, store or process before."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from features.days import end_of
from features.errors import StoreUnavailableError
from features.online import Ledger, bring_online, forget_online, online_until
from features.schema import TIMESTAMP
from features.settings import Settings
from features.snapshots import AS_OF, VIEWS, snapshot_path
from features.stage import write_parquet

MONDAY, TUESDAY, WEDNESDAY = "2026-03-02", "2026-03-03", "2026-03-04"
VIEW = "user_history"
KEYS = {VIEW: "user_id"}


class Memory:
    """An online store that remembers what it was told; optionally its process is killed before a write."""

    def __init__(
        self, *, expires: bool = False, kill_at: int | None = None, told: Path | None = None
    ) -> None:
        self.rows: dict[int, tuple[list[int], datetime]] = {}
        self.written: list[int] = []
        self.batches = 0
        self._expires, self._kill_at, self._told = expires, kill_at, told

    def write_rows(self, view: str, rows: pa.Table) -> None:
        if self.batches == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.batches += 1
        for row in rows.to_pylist():
            self.rows[row["user_id"]] = (row["video_ids"], row[AS_OF])
            self.written.append(row["user_id"])
        if self._told:
            self._told.write_text(" ".join(map(str, self.written)))

    def times_of(self, view: str, ids: Sequence[int]) -> list[datetime | None]:
        return [self.rows[each][1] if each in self.rows else None for each in ids]

    def expires(self, view: str) -> bool:
        return self._expires

    def values(self) -> dict[int, list[int]]:
        return {user: videos for user, (videos, _) in self.rows.items()}


def build(settings: Settings, day: str, histories: dict[int, list[int]]) -> None:
    """A snapshot in which every view has the same rows."""
    rows = pa.table(
        {
            "user_id": pa.array(list(histories), pa.int64()),
            "video_ids": pa.array(list(histories.values()), pa.list_(pa.int64())),
            AS_OF: pa.array([end_of(day)] * len(histories), TIMESTAMP),
        }
    )
    for view in VIEWS:
        write_parquet(rows, snapshot_path(settings, view, day))


def written(settings: Settings, store: Memory, built: dict[str, str]) -> list[int]:
    """Users whose row is written when the days are made of ``built``."""
    before = len(store.written)
    number = bring_online(store, settings, built, views=KEYS)
    assert number == len(store.written) - before
    return sorted(store.written[before:])


def test_of_several_days_the_newest_row_of_each_user_is_written_once(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10], 2: [20]})
    build(settings, TUESDAY, {1: [10, 11], 3: [30]})
    store, built = Memory(), {MONDAY: "m", TUESDAY: "t"}
    assert written(settings, store, built) == [1, 2, 3]
    assert store.values() == {1: [10, 11], 2: [20], 3: [30]}
    assert online_until(settings) == end_of(TUESDAY)
    assert written(settings, store, built) == []


def test_a_new_day_writes_the_rows_that_differ(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10], 2: [20]})
    store = Memory()
    written(settings, store, {MONDAY: "m"})
    build(settings, TUESDAY, {1: [10], 2: [20, 21]})
    assert written(settings, store, {MONDAY: "m", TUESDAY: "t"}) == [2]
    assert store.rows[1] == ([10], end_of(MONDAY)), "an equal row is not written for its time alone"


def test_a_row_that_expires_is_written_again_for_its_time(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10]})
    store = Memory(expires=True)
    written(settings, store, {MONDAY: "m"})
    build(settings, TUESDAY, {1: [10]})
    assert written(settings, store, {MONDAY: "m", TUESDAY: "t"}) == [1]
    assert store.rows[1] == ([10], end_of(TUESDAY))


def test_an_older_day_that_is_made_again_reaches_only_whom_no_newer_row_hides(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10], 2: [20], 3: [30]})
    build(settings, TUESDAY, {1: [10], 2: [21]})
    store = Memory()
    written(settings, store, {MONDAY: "m", TUESDAY: "t"})
    build(settings, MONDAY, {1: [9], 2: [9], 3: [9]})
    assert written(settings, store, {MONDAY: "other", TUESDAY: "t"}) == [3]
    assert store.values() == {1: [10], 2: [21], 3: [9]}


def test_a_row_that_is_gone_falls_back_to_the_one_before_or_to_nothing(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10]})
    build(settings, TUESDAY, {1: [10, 11], 2: [20]})
    store = Memory()
    written(settings, store, {MONDAY: "m", TUESDAY: "t"})
    build(settings, TUESDAY, {3: [30]})
    assert written(settings, store, {MONDAY: "m", TUESDAY: "other"}) == [1, 2, 3]
    assert store.values() == {1: [10], 2: [], 3: [30]}
    build(settings, WEDNESDAY, {2: [20]})
    assert written(settings, store, {MONDAY: "m", TUESDAY: "other", WEDNESDAY: "w"}) == [2]


def test_an_equal_row_of_a_newer_day_counts_as_the_known_one(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10]})
    store = Memory()
    written(settings, store, {MONDAY: "m"})
    build(settings, TUESDAY, {1: [10]})
    written(settings, store, {MONDAY: "m", TUESDAY: "t"})
    build(settings, MONDAY, {1: [9]})
    assert written(settings, store, {MONDAY: "other", TUESDAY: "t"}) == [], "Tuesday's row is the newest"


def killed_at(settings: Settings, kill_at: int, told: Path) -> None:
    bring_online(Memory(kill_at=kill_at, told=told), settings, {MONDAY: "m"}, views=KEYS, batch_rows=10)


def test_a_killed_run_goes_on_with_the_next_batch(settings: Settings, tmp_path: Path) -> None:
    build(settings, MONDAY, {user: [user] for user in range(100)})
    told = tmp_path / "told"
    process = multiprocessing.get_context("spawn").Process(target=killed_at, args=(settings, 4, told))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    first = {int(user) for user in told.read_text().split()}
    assert len(first) == 4 * 10
    assert online_until(settings) is None, "not complete for any moment"
    store = Memory()
    store.rows = {user: ([user], end_of(MONDAY)) for user in first}
    assert set(written(settings, store, {MONDAY: "m"})) == set(range(100)) - first


def open_ledger(settings: Settings, answers: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        with Ledger(settings):
            answers.put("opened")
    except StoreUnavailableError as error:
        answers.put(str(error))


def test_of_two_processes_one_is_told_to_wait(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    with Ledger(settings):
        process = context.Process(target=open_ledger, args=(settings, answers))
        process.start()
        process.join()
    assert "unless another materialize is running" in answers.get()


@pytest.mark.parametrize("how", ["emptied", "forgotten"])
def test_everything_is_written_to_a_store_that_lost_its_rows(settings: Settings, how: str) -> None:
    build(settings, MONDAY, {1: [10], 2: [20]})
    store = Memory()
    written(settings, store, {MONDAY: "m"})
    if how == "emptied":
        store.rows = {}
    else:
        forget_online(settings)
    assert written(settings, store, {MONDAY: "m"}) == [1, 2]


def test_another_store_gets_its_own_rows(settings: Settings) -> None:
    build(settings, MONDAY, {1: [10]})
    written(settings, Memory(), {MONDAY: "m"})
    elsewhere = settings.model_copy(update={"redis": "there:6379"})
    assert written(elsewhere, Memory(), {MONDAY: "m"}) == [1]
