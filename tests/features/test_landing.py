"""Which files lie in the landing area, in a folder or in a store."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pytest

from features.errors import BadInputError, RetryLaterError
from features.ingest import ingest
from features.lake import Lake
from features.landing import Landing
from features.schema import WATCHES
from features.settings import Settings
from tests.features.landing_rows import DAY, land, land_day, watch


def names(settings: Settings) -> list[str]:
    return [file.name for file in Landing(settings).files(WATCHES, DAY)]


def test_files_being_written_are_ignored_and_strangers_refused(settings: Settings) -> None:
    path = land(settings, WATCHES, [watch("a")])
    path.with_name(".b.jsonl.tmp").write_text("half")
    (path.parent / "folder.jsonl").mkdir()
    assert names(settings) == [f"watches/{DAY}/a.jsonl"]
    path.with_name("b.xlsx").write_text("")
    with pytest.raises(BadInputError, match=r"b\.xlsx is none of"):
        names(settings)


@pytest.mark.parametrize(
    ("name", "kind", "packing"),
    [("a.jsonl", ".jsonl", None), ("a.csv.gz", ".csv", "gzip"), ("a.b.parquet.zst", ".parquet", "zstd")],
)
def test_the_format_is_the_ending_before_the_packing(
    settings: Settings, name: str, kind: str, packing: str | None
) -> None:
    land(settings, WATCHES, [], name=name)
    (file,) = Landing(settings).files(WATCHES, DAY)
    assert (file.format, file.packing) == (kind, packing)


def test_days_are_those_of_any_table(settings: Settings) -> None:
    land(settings, WATCHES, [watch("a")])
    land(settings, "videos", [], day="2026-03-01")
    (settings.landing / WATCHES / ".partial").mkdir()
    assert Landing(settings).days() == ["2026-03-01", DAY]


def test_a_stamp_changes_with_the_file(settings: Settings) -> None:
    path = land(settings, WATCHES, [watch("a")])
    before = Landing(settings).stamps(DAY)
    assert Landing(settings).stamps(DAY) == before
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"a"', b'"b"'))  # of the same size
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert Landing(settings).stamps(DAY) != before


def test_a_store_gives_the_same_lake_as_a_folder(settings: Settings, tmp_path: Path) -> None:
    land_day(settings, [watch("a"), watch("b"), b"broken", watch("c"), watch("d"), watch("e")])
    ingest([DAY], settings=settings)
    store = fsspec.filesystem("memory")
    store.put(str(settings.landing), "/bucket/landing", recursive=True)
    remote = Settings(home=tmp_path / "remote", landing_uri="memory://bucket/landing")
    staged = ingest(settings=remote)
    assert staged.landing_days == [DAY]
    assert Lake(remote).checksum(WATCHES, DAY) == Lake(settings).checksum(WATCHES, DAY)
    assert not list(remote.staging.rglob("*.jsonl"))
    assert ingest(settings=remote).landing_days == []
    store.rm("/bucket", recursive=True)


def test_a_file_replaced_while_it_is_copied_is_read_another_time(settings: Settings) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/race/watches/2026-03-02/a.jsonl", b"first")
    landing = Landing(settings.model_copy(update={"landing_uri": "memory://race"}))
    (file,) = landing.files(WATCHES, DAY)
    store.pipe("/race/watches/2026-03-02/a.jsonl", b"second")
    with pytest.raises(RetryLaterError, match="was replaced while it was copied"):
        landing.fetch(file)
    store.rm("/race", recursive=True)


def test_an_unknown_store_is_named(settings: Settings) -> None:
    with pytest.raises(BadInputError, match="FACET_LANDING_URI=nowhere://x"):
        Landing(settings.model_copy(update={"landing_uri": "nowhere://x"}))


def test_a_file_of_another_filesystem_is_on_disk_before_the_original_goes(settings: Settings) -> None:
    name = f"{WATCHES}/{DAY}/a.jsonl"
    hidden = (settings.landing / name).with_name(".a.jsonl")
    hidden.parent.mkdir(parents=True)
    hidden.symlink_to(os.devnull)  # takes everything and cannot be synced
    with TemporaryDirectory(
        dir="/dev/shm"
    ) as other:  # in memory: another filesystem than the temporary files
        path = Path(other) / "a.jsonl"
        path.write_bytes(b"{}\n")
        with pytest.raises(OSError, match="Invalid argument"):
            Landing(settings).take(path, name)
        assert path.exists()
        hidden.unlink()
        Landing(settings).take(path, name)
        assert not path.exists()
    assert (settings.landing / name).read_bytes() == b"{}\n"
