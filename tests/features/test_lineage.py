"""Every step of the data plane names what it read and wrote, with versions."""

from pathlib import Path

from features.ingest import commit, stage
from features.lake import Lake
from features.lineage import LOCAL, Dataset, committed, published, staged, validated
from features.schema import USERS, VIDEOS, WATCHES
from features.settings import Settings
from features.validation import validate
from tests.features.landing_rows import DAY, land_day, watch


def test_a_stage_reads_landing_files_and_a_commit_writes_versions_of_tables(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    folder = stage([DAY], settings=settings)
    first = staged(folder, settings)
    landed = [
        str(settings.landing.absolute() / table / DAY / "a.jsonl") for table in (USERS, VIDEOS, WATCHES)
    ]
    assert [found.name for found in first.inputs] == landed
    size = Path(landed[2]).stat().st_size
    assert (first.inputs[2].version or "").startswith(f"{size}-")
    assert first.outputs == (Dataset(LOCAL, folder),)
    assert validated(folder, settings).inputs == first.outputs
    commit(validate(folder, settings=settings), settings=settings)
    tables = committed(DAY, settings).outputs
    assert [found.name for found in tables] == [
        str(settings.lake / name) for name in (USERS, VIDEOS, WATCHES)
    ]
    assert [found.version for found in tables] == ["0", "0", "0"], "each was written once"


def test_a_second_stage_is_built_upon_the_tables_of_the_first(settings: Settings) -> None:
    land_day(settings, [watch("a")])
    commit(validate(stage([DAY], settings=settings), settings=settings), settings=settings)
    again = staged(stage([DAY], settings=settings), settings)
    watches = Dataset(LOCAL, str(settings.lake / WATCHES), str(Lake(settings).snapshot(WATCHES)))
    assert watches in again.inputs


def test_without_a_release_nothing_was_published(settings: Settings) -> None:
    assert published("any", settings).outputs == ()
