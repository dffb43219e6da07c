"""Users out of landing files: lines keep their numbers, stamps are noted, a store is landing too."""

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.forget.landed import erase_landing
from features.forget.users import Users
from features.landing import Landing
from features.landing_manifest import Manifest
from features.schema import WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY, land, watch

SEVEN = Users(frozenset({7}))
ROWS = [watch("a", user_id=1), watch("b", user_id=7), watch("c", user_id=2)]


def note(settings: Settings, landing: Landing) -> None:
    Manifest(rules="r", files=landing.stamps(DAY)).write(settings, DAY)


def test_a_line_becomes_a_blank_line_and_the_file_counts_as_ingested(settings: Settings) -> None:
    path = land(settings, WATCHES, ROWS)
    first, _, third = path.read_bytes().splitlines(keepends=True)
    note(settings, Landing(settings))
    assert erase_landing(SEVEN, settings) == 1
    assert path.read_bytes() == first + b"\n" + third
    noted = Manifest.read(settings, DAY)
    assert noted is not None
    assert noted.changes(Landing(settings).stamps(DAY)) == {}


def test_a_file_that_had_changed_before_still_counts_as_changed(settings: Settings) -> None:
    path = land(settings, WATCHES, ROWS)
    note(settings, Landing(settings))
    land(settings, WATCHES, [*ROWS, watch("d")])
    erase_landing(SEVEN, settings)
    noted = Manifest.read(settings, DAY)
    assert noted is not None
    assert noted.changes(Landing(settings).stamps(DAY)) == {f"watches/{DAY}/{path.name}": "changed"}


def test_rows_of_a_parquet_file_become_nulls_in_its_own_types(settings: Settings) -> None:
    path = land(settings, WATCHES, [], name="a.parquet")
    rows = pa.table(
        {
            "event_id": pa.array(["a", "b", "c"], pa.large_string()),
            "user_id": pa.array([1.0, 7.0, None]),
            "video_id": pa.array([3, 4, 5], pa.int32()),
            "event_time": [f"{DAY}T12:00:00Z"] * 3,
            "tags": pa.array([[1], [2], None]),
        }
    )
    pq.write_table(rows, path, row_group_size=1, compression="zstd")
    assert erase_landing(SEVEN, settings) == 1
    found = pq.read_table(path, partitioning=None)
    assert found.schema == rows.schema
    nothing = dict.fromkeys(rows.column_names)
    first, _, third = rows.to_pylist()
    assert found.to_pylist() == [first, nothing, third]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_store_is_landing_too(tmp_path: Path, settings: Settings) -> None:
    path = land(settings, WATCHES, ROWS, name="a.jsonl.gz")
    remote = Settings(home=tmp_path / "remote", landing_uri="memory://erased/landing")
    place = f"/erased/landing/watches/{DAY}/{path.name}"
    fsspec.filesystem("memory").put_file(str(path), place)
    note(remote, Landing(remote))
    assert erase_landing(SEVEN, remote) == 1
    assert erase_landing(SEVEN, remote) == 0
    noted = Manifest.read(remote, DAY)
    assert noted is not None
    assert noted.changes(Landing(remote).stamps(DAY)) == {}


@pytest.mark.parametrize("name", [".a.jsonl.erased", ".zz-replay-1.jsonl"])
def test_what_a_kill_left_goes_and_what_a_producer_writes_stays(settings: Settings, name: str) -> None:
    left, theirs = land(settings, WATCHES, ROWS, name=name), land(settings, WATCHES, ROWS, name=".b.jsonl")
    erase_landing(SEVEN, settings)
    assert not left.exists()
    assert theirs.exists()
