"""A bundle is whole and unaltered, or it is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.bundle import (
    ACTIVATION,
    ACTIVATION_SCHEMA,
    EXTRACTOR,
    FILES_OF,
    INTERESTS_KIND,
    ITEM_ENCODER,
    ITEM_VECTORS,
    MANIFEST,
    RANKING,
    RANKING_SCHEMA,
    USER_FILES,
    USER_SUMS,
    VOCABULARY,
    DataSource,
    Manifest,
    item_table,
    new_version,
    open_bundle,
    user_sums,
    vectors_of,
    write_bundle,
)
from features.errors import BundleError
from features.positives import PositiveRule
from features.schema import SCHEMAS, VIDEOS
from features.vocabulary import Vocabulary

MOMENT = datetime(2026, 3, 2, tzinfo=UTC)
VIDEO_IDS = np.array([20, 10])
VECTORS = np.array([[1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
VIDEO_TABLE = pa.Table.from_pylist(
    [{"video_id": 10, "uploader_id": 5, "tag_ids": [1, 2], "is_online": True}], schema=SCHEMAS[VIDEOS]
)


def manifest(kind: str = "interests", **changes: object) -> Manifest:
    data = DataSource(
        until=MOMENT, snapshots={"watches": 3}, first_day="2026-03-01", last_day="2026-03-01",
        num_watches=9, num_positives=4, num_users=2,
    )  # fmt: skip
    facts = {
        "kind": kind, "model": "toy", "version": "v1", "created_at": MOMENT, "code_commit": "abc",
        "config": {}, "rule": PositiveRule(), "data": data,
        "num_videos": 2, "num_interests": 2, "dim": 2, "history_length": 5,
    }  # fmt: skip
    return Manifest.model_validate(facts | changes)


def write_interests(folder: Path) -> None:
    (folder / EXTRACTOR).write_bytes(b"stands for a program")
    (folder / ITEM_ENCODER).write_bytes(b"stands for a program")
    pq.write_table(ACTIVATION_SCHEMA.empty_table(), folder / ACTIVATION)
    pq.write_table(item_table(VIDEO_IDS, VECTORS, VIDEO_TABLE), folder / ITEM_VECTORS)
    pq.write_table(Vocabulary(VIDEO_IDS).to_table(), folder / VOCABULARY)


def test_what_is_written_can_be_opened(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path, manifest(), write_interests))
    assert bundle.path == tmp_path / "toy" / "v1"
    assert bundle.name == "toy/v1"
    assert bundle.video_ids.tolist() == [20, 10]
    np.testing.assert_array_equal(bundle.vectors, VECTORS)
    assert bundle.items["tag_ids"].to_pylist() == [None, [1, 2]], "attributes are null where unknown"
    assert set(bundle.manifest.files) == FILES_OF[INTERESTS_KIND] - USER_FILES
    assert set(user_sums(bundle.path)) == {ACTIVATION}, "an erasure rewrites these, not the others"
    assert bundle.activation.num_rows == 0


def test_a_ranking_needs_no_vectors(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist(
        [{"segment": None, "rank": 0, "video_id": 20, "score": 1.5}], schema=RANKING_SCHEMA
    )
    path = write_bundle(tmp_path, manifest("ranking"), lambda folder: pq.write_table(rows, folder / RANKING))
    assert open_bundle(path).ranking.to_pylist() == rows.to_pylist()


@pytest.mark.parametrize("name", sorted(FILES_OF[INTERESTS_KIND]))
def test_an_altered_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write_bundle(tmp_path, manifest(), write_interests)
    with (path / name).open("ab") as file:
        file.write(b"!")
    with pytest.raises(BundleError, match=f"{name} differs from its recorded SHA-256"):
        open_bundle(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, manifest(), write_interests)
    (path / VOCABULARY).unlink()
    with pytest.raises(BundleError, match="lacks vocabulary"):
        open_bundle(path)


def test_a_bundle_of_earlier_days_lists_all_sums_in_its_manifest(tmp_path: Path) -> None:
    path = write_bundle(tmp_path, manifest(), write_interests)
    facts = json.loads((path / MANIFEST).read_text())
    facts["files"] |= {name: sums[0] for name, sums in user_sums(path).items()}
    for name in ("repeatable", "reason", "since"):
        del facts[name]
    (path / MANIFEST).write_text(json.dumps(facts))
    (path / USER_SUMS).unlink()
    assert open_bundle(path).manifest.repeatable


@pytest.mark.parametrize("content", ["[]", "{", '{"activation.parquet": 1}'])
def test_damaged_sums_are_refused(tmp_path: Path, content: str) -> None:
    path = write_bundle(tmp_path, manifest(), write_interests)
    (path / USER_SUMS).write_text(content)
    with pytest.raises(BundleError, match="does not name sums"):
        open_bundle(path)


@pytest.mark.parametrize("change", [{"format": 2}, {"kind": "mystery"}, {"surprise": 1}])
def test_a_manifest_of_another_format_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = write_bundle(tmp_path, manifest(), write_interests)
    facts = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(facts | change))
    with pytest.raises(BundleError, match="not a manifest of format 1"):
        open_bundle(path)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        open_bundle(tmp_path)


@pytest.mark.parametrize("change", [{"dim": 3}, {"num_videos": 5}, {"num_interests": 0}])
def test_wrong_dimensions_are_refused_and_leave_nothing_behind(
    tmp_path: Path, change: dict[str, int]
) -> None:
    with pytest.raises(BundleError, match="item vectors"):
        write_bundle(tmp_path, manifest(**change), write_interests)
    assert list((tmp_path / "toy").iterdir()) == []


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="lists no"):
        write_bundle(tmp_path, manifest(), lambda folder: None)
    assert list((tmp_path / "toy").iterdir()) == []


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    write_bundle(tmp_path, manifest(), write_interests)
    with pytest.raises(BundleError, match="exists already"):
        write_bundle(tmp_path, manifest(), write_interests)


def test_versions_sort_by_time() -> None:
    assert new_version(MOMENT) == "20260302T000000-000000" < new_version(MOMENT.replace(microsecond=1))


def test_vectors_survive_parquet(tmp_path: Path) -> None:
    pq.write_table(item_table(VIDEO_IDS, VECTORS, VIDEO_TABLE), tmp_path / "x.parquet")
    np.testing.assert_array_equal(vectors_of(pq.read_table(tmp_path / "x.parquet")), VECTORS)
