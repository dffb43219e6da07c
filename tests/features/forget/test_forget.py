"""A user who was erased is nowhere, and nobody else reads anything else."""

import json
import multiprocessing
import random
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from features.bundle import ACTIVATION, open_bundle
from features.errors import BadInputError, RetryLaterError, StaleStageError
from features.forget import RECORD, STEPS, find_users, forget
from features.forget.online import user_of
from features.forget.snapshots import sources_now
from features.home_lock import shared_home
from features.housekeeping import clean
from features.ingest import commit, ingest
from features.lake import Lake, connect, rows_checksum
from features.landing_manifest import pending_days
from features.materialize import materialize
from features.quarantine import refused_rows
from features.recent import RecentWatch
from features.schema import EXPOSURES, USERS, WATCHES
from features.settings import Settings
from features.sources.id_map import USER, IdMap
from features.store import FeatureStore
from features.validation.results import read_runs
from tests.features.forget.byte_search import files_that_name, needles
from tests.features.forget.home import (
    MARKER,
    MONDAY,
    NAMED,
    STAYS,
    TUESDAY,
    build_home,
    marked,
    settings_of,
)
from tests.features.test_redis import on_redis

Server = tuple[str, subprocess.Popen[bytes]]
pytestmark = pytest.mark.slow
NEEDLES = needles(MARKER, NAMED)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; every test erases from a copy."""
    return build_home(tmp_path_factory.mktemp("built") / "home").root


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Settings:
    return settings_of(Path(shutil.copytree(built, tmp_path / "home", symlinks=True)))


def others(settings: Settings) -> dict[str, str]:
    """Sum over the rows of all users who stay, by table and day."""
    lake, found = Lake(settings), {}
    gone = marked(settings).own_sql()
    for table in (WATCHES, EXPOSURES, USERS):
        for day in lake.day_counts(table):
            rows = lake.scan(connect(), table, [day]).filter(f"NOT {gone}")
            found[f"{table}/{day}"] = rows_checksum(rows, table)
    return found


def offline_rows(settings: Settings, gone: frozenset[int]) -> dict[str, list[dict]]:
    paths = sorted(settings.feast.glob("offline/*/*.parquet"))
    return {
        f"{path.parent.name}/{path.name}": [
            row
            for row in pq.read_table(path, partitioning=None).to_pylist()
            if row.get("user_id") not in gone
        ]
        for path in paths
    }


def online_rows(settings: Settings, gone: frozenset[int]) -> list[tuple]:
    with closing(sqlite3.connect(settings.feast / "online.db")) as store:
        tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
        rows = [row for (table,) in tables for row in store.execute(f'SELECT * FROM "{table}" ORDER BY 1, 2')]
    return [row for row in rows if user_of(row[0]) not in gone]


def test_the_user_is_everywhere_before_and_nowhere_after(home: Settings) -> None:
    before = files_that_name(NEEDLES, home.root)
    places = (
        *(f"landing/{table}" for table in (WATCHES, USERS, EXPOSURES)),
        *(f"lake/{table}/_delta_log" for table in (WATCHES, USERS, EXPOSURES)),
        *(
            "lake/watches/event_day",
            "quarantine/watches",
            "quarantine/exposures",
            "staging",
            "ids",
            "bundles",
        ),
        *("checkpoints", "feast/offline", "feast/online.db", "feast/online_rows", "aggregates"),
        *("reports/validation/runs", "logs", "demo"),
    )
    assert [place for place in places if not any(name.startswith(place) for name in before)] == []
    forget(marked(home), settings=home)
    assert files_that_name(NEEDLES, home.root) == []


@pytest.mark.parametrize("step", STEPS)
def test_no_step_can_be_left_out(home: Settings, step: str) -> None:
    forget(marked(home), settings=home, steps={name: run for name, run in STEPS.items() if name != step})
    assert files_that_name(NEEDLES, home.root) != []


def test_others_read_what_they_read_before(home: Settings) -> None:
    users = marked(home)
    before = others(home)
    offline, online = offline_rows(home, users.ids), online_rows(home, users.ids)
    forget(users, settings=home)
    lake = Lake(home)
    assert before == {
        f"{table}/{day}": lake.checksum(table, day)
        for table in (WATCHES, EXPOSURES, USERS)
        for day in lake.day_counts(table)
    }
    assert offline_rows(home, frozenset()) == offline, (
        "statistics of videos too: snapshots are not made again"
    )
    assert online_rows(home, frozenset()) == online
    assert len(online) > 20
    with_bundle = [row for row in online if user_of(row[0]) == 101 and b"of-tuesday" in row[0]]
    assert with_bundle, "keys of users and bundles are understood, too"


def test_snapshots_count_as_up_to_date(home: Settings) -> None:
    noted = sources_now(home)
    forget(marked(home), settings=home)
    assert list(noted) == list(sources_now(home)) == [MONDAY, TUESDAY]
    assert noted != sources_now(home), "they are made of other rows, and noted with these"


def test_files_are_not_read_again_and_if_they_are_nobody_comes_back(home: Settings) -> None:
    before = others(home)
    refused = [row for row in refused_rows(WATCHES, MONDAY, home) if str(MARKER) not in row.raw]
    pending = pending_days(home)
    forget(marked(home), settings=home)
    assert pending_days(home) == pending == [TUESDAY], "its last file has not been committed yet"
    (home.landing / WATCHES / TUESDAY / "h.jsonl").unlink()
    assert pending_days(home) == []
    staged = ingest([MONDAY, TUESDAY], settings=home)
    assert all(count.balanced for count in staged.counts)
    assert others(home) == before, "line numbers are the same, so replays still stand for their rows"
    assert [row for row in refused_rows(WATCHES, MONDAY, home) if NAMED not in row.raw] == [
        row for row in refused if NAMED not in row.raw
    ]
    assert files_that_name(NEEDLES, home.root) == []


def test_bundles_open_and_say_that_they_cannot_be_repeated(home: Settings) -> None:
    erased = forget(marked(home), settings=home)
    assert erased.unrepeatable == ["tiny/of-monday", "tiny/of-old", "tiny/of-tuesday"]
    for version in ("of-monday", "of-tuesday", "of-old"):
        bundle = open_bundle(home.bundles / "tiny" / version)
        assert bundle.activation["user_id"].to_pylist() == [101, 101]
        assert (bundle.manifest.repeatable, bundle.manifest.reason) == (False, "erasure")
        assert ACTIVATION not in bundle.manifest.files
    assert clean(settings=home).data_files == 0, "nothing is kept for them"


def test_a_stage_from_before_cannot_be_committed(home: Settings) -> None:
    forget(marked(home), settings=home)
    with pytest.raises(StaleStageError):
        commit(str(home.staging / f"{TUESDAY}..{TUESDAY}"), settings=home)


def test_results_of_validation_stay_without_their_examples(home: Settings) -> None:
    verdicts = [[result.verdict for result in run.results] for run in read_runs(home)]
    forget(marked(home), settings=home)
    assert [[result.verdict for result in run.results] for run in read_runs(home)] == verdicts


def test_the_number_of_a_text_stays_taken(home: Settings) -> None:
    import pyarrow as pa

    known = IdMap(home, "myapp")
    before = known.number(USER, pa.array([STAYS, NAMED]))["id"].to_pylist()
    forget(marked(home), settings=home)
    after = known.number(USER, pa.array([STAYS, NAMED]))["id"].to_pylist()
    assert after[0] == before[0]
    assert after[1] not in before, "whoever comes back is somebody new"


def test_twice_changes_nothing_and_the_record_names_nobody(home: Settings) -> None:
    first = forget(marked(home), settings=home)
    second = forget(marked(home), settings=home)
    assert first.rows["landing"] > 0
    assert set(second.rows.values()) == {0}
    lines = [json.loads(line) for line in (home.root / RECORD).read_text().splitlines()]
    assert [line["found"] for line in lines] == [first.rows, second.rows]


def test_a_running_ingest_keeps_an_erasure_out(home: Settings) -> None:
    before = files_that_name(NEEDLES, home.root)
    with shared_home(home), pytest.raises(RetryLaterError, match="run again when it is done"):
        forget(marked(home), settings=home)
    assert files_that_name(NEEDLES, home.root) == before


@pytest.mark.server
def test_redis_and_its_dump_forget_too(home: Settings, server: Server) -> None:
    address, _ = server
    settings = on_redis(home, address)
    materialize([TUESDAY], settings=settings)
    FeatureStore(settings).push({MARKER: [RecentWatch(1_772_600_000_000_000, f"e{MARKER}-90", 5, 1)]})
    client = redis.Redis(*address.split(":"))
    dump = Path(client.config_get("dir")["dir"])
    client.save()
    assert files_that_name(NEEDLES, dump) == ["dump.rdb"]
    kept = {key: client.hgetall(key) for key in client.scan_iter() if user_of(key) not in marked(home).ids}
    erased = forget(marked(settings), settings=settings)
    client.save()
    assert erased.rows["online"] > 0
    assert files_that_name(NEEDLES, dump) == []
    assert files_that_name(NEEDLES, home.root) == []
    assert {key: client.hgetall(key) for key in client.scan_iter()} == kept
    assert len(kept) > 10


def _forget(home: Path) -> None:
    settings = settings_of(home)
    forget(marked(settings), settings=settings)


def test_killed_at_any_moment_and_run_again_it_ends_in_the_same_place(built: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    calm = settings_of(Path(shutil.copytree(built, tmp_path / "calm", symlinks=True)))
    started = time.monotonic()
    _forget(calm.root)
    seconds = time.monotonic() - started
    moments = random.Random(5)
    for attempt in range(8):
        settings = settings_of(Path(shutil.copytree(built, tmp_path / f"k{attempt}", symlinks=True)))
        process = context.Process(target=_forget, args=(settings.root,))
        process.start()
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        process.join()
        forget(marked(settings), settings=settings)
        assert files_that_name(NEEDLES, settings.root) == []
        assert others(settings) == others(calm)
        assert pending_days(settings) == pending_days(calm)
        for path in settings.bundles.glob("tiny/*"):
            assert not open_bundle(path).manifest.repeatable


@pytest.mark.parametrize(
    ("ids", "texts", "message"),
    [
        ([], [], "name the users to erase"),
        ([-1], [], "not negative"),
        ([], [("other", "x")], "is the `source` of an import"),
        ([], [("myapp", " ")], "is empty"),
    ],
)
def test_mistakes_are_named(
    home: Settings, ids: list[int], texts: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        find_users(home, ids, texts)
