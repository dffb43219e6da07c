"""What was appended is on disk when ``append`` returns, and reaches landing once, whoever is killed."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.errors import DiskFullError, RetryLaterError
from features.landing_log import LEFT_SECONDS, LandingLog, _OpenFile
from features.schema import WATCHES
from features.settings import Settings

DAY = "2026-03-01"
APPENDER = """
import sys
from pathlib import Path
from features.landing_log import LandingLog
from features.settings import Settings
log = LandingLog(Settings(home=Path(sys.argv[1])), "watches")
for number in range(1_000_000):
    log.append([f'{{"event_id": "{sys.argv[2]}-{number}"}}'])
    print(number, flush=True)
"""


def at(hour: int, day: int = 1) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = at(12)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def landed(settings: Settings, day: str = DAY) -> list[str]:
    """Event ids in the landing area, in the order of files and lines."""
    folder = settings.landing / WATCHES / day
    lines = [line for path in sorted(folder.glob("*")) for line in path.read_text().splitlines()]
    return [json.loads(line)["event_id"] for line in lines]


def row(name: str) -> str:
    return json.dumps({"event_id": name})


def test_rows_are_on_disk_at_once_and_in_landing_when_the_file_is_closed(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, clock=Clock())
    log.append([row("a"), row("b")])
    assert [path.read_text() for path in (settings.spool / WATCHES).iterdir()] == [
        f"{row('a')}\n{row('b')}\n"
    ]
    assert log.hand_over() == []
    assert landed(settings) == []
    (name,) = log.hand_over(everything=True)
    assert name.startswith(f"{WATCHES}/{DAY}/")
    assert landed(settings) == ["a", "b"]
    assert not list((settings.spool / WATCHES).iterdir())


def test_a_file_is_closed_by_age_by_size_and_at_midnight(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, max_seconds=0.0, clock=Clock())
    log.append([row("old")])
    assert len(log.hand_over()) == 1

    log = LandingLog(settings, WATCHES, max_bytes=10, clock=Clock())
    log.append([row("large")])
    assert len(log.hand_over()) == 1

    clock = Clock()
    log = LandingLog(settings, WATCHES, clock=clock)
    log.append([row("before")])
    clock.now = at(0, day=2)
    log.append([row("after")])
    log.hand_over(everything=True)
    assert "before" in landed(settings)
    assert landed(settings, "2026-03-02") == ["after"]


def test_many_threads_lose_nothing(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, max_bytes=500, clock=Clock())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: log.append([row(str(number))]), range(400)))
    log.hand_over(everything=True)
    assert sorted(map(int, landed(settings))) == list(range(400))
    assert len(list((settings.landing / WATCHES / DAY).iterdir())) > 10


def test_what_a_killed_process_left_is_handed_over_without_its_torn_line(settings: Settings) -> None:
    left = settings.spool / WATCHES / f"{DAY}.left.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text(row("kept") + '\n{"event_id": "to')
    (settings.spool / WATCHES / f"{DAY}.empty.jsonl").touch()
    assert LandingLog(settings, WATCHES).hand_over() == [f"{WATCHES}/{DAY}/left.jsonl"]
    assert landed(settings) == ["kept"]
    assert not list(left.parent.iterdir())


def test_a_file_that_is_not_locked_yet_is_left_alone_until_it_is_old(settings: Settings) -> None:
    new, old = (settings.spool / WATCHES / f".{DAY}.{name}.jsonl" for name in ("new", "old"))
    new.parent.mkdir(parents=True)
    new.touch()
    old.touch()
    hour_ago = time.time() - LEFT_SECONDS - 1
    os.utime(old, (hour_ago, hour_ago))
    assert LandingLog(settings, WATCHES).hand_over(everything=True) == []
    assert list(new.parent.iterdir()) == [new]


def test_the_file_of_a_process_that_lives_is_left_alone(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, clock=Clock())
    log.append([row("open")])
    assert LandingLog(settings, WATCHES).hand_over(everything=True) == []
    log.hand_over(everything=True)
    assert landed(settings) == ["open"]


def test_a_killed_process_loses_nothing_that_it_was_told_is_stored(settings: Settings) -> None:
    told: list[str] = []
    for name in ("first", "second"):
        appender = subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(settings.home), name],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert appender.stdout is not None
        lines = [appender.stdout.readline() for _ in range(50)]
        os.kill(appender.pid, signal.SIGKILL)
        lines += appender.stdout.readlines()
        appender.wait()
        told += [f"{name}-{int(line)}" for line in lines if line.endswith("\n")]
    LandingLog(settings, WATCHES).hand_over()
    day = datetime.now(UTC).date().isoformat()
    found = landed(settings, day)
    assert set(told) <= set(found)
    assert len(found) == len(set(found))
    assert len(found) <= len(told) + 2  # of each process, one may be stored and not told


def test_what_cannot_be_landed_stays_and_comes_later(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, clock=Clock())
    log.append([row("a")])
    settings.landing.write_text("a file where the folder should be")
    assert log.hand_over(everything=True) == []
    settings.landing.unlink()
    assert len(log.hand_over()) == 1
    assert landed(settings) == ["a"]


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process may exceed 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_nothing_counts_that_was_written_behind_half_a_row(settings: Settings) -> None:
    file = _OpenFile(settings.spool / WATCHES, DAY)
    stored = file.write(b"whole\n")
    file.sync(stored)
    with small_files(), pytest.raises(OSError, match="File too large"):
        file.write(b"x" * 200)
    behind = file.write(b"glued to the half\n")  # another thread, before the file is given up
    with pytest.raises(OSError, match="another write to the same file failed"):
        file.sync(behind)


def test_after_a_failed_fsync_nothing_counts_though_the_next_fsync_succeeds(settings: Settings) -> None:
    file = _OpenFile(settings.spool / WATCHES, DAY)
    stored = file.write(b"lost\n")
    disk = os.dup(file._file)
    reader, writer = os.pipe()
    os.dup2(writer, file._file)  # a pipe cannot be synced
    with pytest.raises(OSError, match="Invalid argument"):
        file.sync(stored)
    os.dup2(disk, file._file)  # Linux reports a failed write-back once
    with pytest.raises(OSError, match="another write to the same file failed"):
        file.sync(stored)  # another thread that waited
    file.abandon()
    for handle in (disk, reader, writer):
        os.close(handle)


def test_rows_after_a_failed_fsync_go_to_a_new_file(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, clock=Clock())
    log.append([row("before")])
    reader, writer = os.pipe()
    assert log._open
    os.dup2(writer, log._open._file)
    with pytest.raises(RetryLaterError, match="Invalid argument; send again"):
        log.append([row("refused")])
    log.append([row("after")])
    log.hand_over(everything=True)
    assert sorted(landed(settings)) == ["after", "before"]
    os.close(reader)
    os.close(writer)


def test_a_full_disk_refuses_the_rows_and_keeps_those_before(settings: Settings) -> None:
    log = LandingLog(settings, WATCHES, clock=Clock())
    log.append([row("before")])
    with small_files(), pytest.raises(DiskFullError, match="no space left"):
        log.append([row("x" * 200)])
    log.append([row("after")])
    log.hand_over(everything=True)
    assert sorted(landed(settings)) == ["after", "before"]
