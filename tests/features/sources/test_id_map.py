"""Text ids keep their numbers: over imports, over processes, after a kill."""

import multiprocessing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from features.errors import InvalidDataError, RetryLaterError
from features.settings import Settings
from features.sources.id_map import TAG, USER, VIDEO, IdMap


def _numbers(ids: IdMap, kind: str, *texts: str) -> dict[str, int]:
    rows = ids.number(kind, pa.array(texts, pa.string()))
    return dict(zip(rows["text"].to_pylist(), rows["id"].to_pylist(), strict=True))


def test_ids_count_from_0_in_order_of_first_appearance(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app")
    assert _numbers(ids, USER, "zoe", "ann", "zoe", "bob") == {"zoe": 0, "ann": 1, "bob": 2}
    assert ids.texts(USER).to_pylist() == ["zoe", "ann", "bob"]


def test_a_text_keeps_its_id_and_new_ones_follow(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    _numbers(IdMap(settings, "app"), USER, "zoe", "ann")
    assert _numbers(IdMap(settings, "app"), USER, "bob", "ann") == {"bob": 2, "ann": 1}
    assert _numbers(IdMap(settings, "app"), USER, "zoe", "ann", "bob") == {"zoe": 0, "ann": 1, "bob": 2}


def test_kinds_and_sources_count_for_themselves(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert _numbers(IdMap(settings, "app"), USER, "a", "b") == {"a": 0, "b": 1}
    assert _numbers(IdMap(settings, "app"), VIDEO, "b") == {"b": 0}
    assert _numbers(IdMap(settings, "other"), USER, "b") == {"b": 0}


def test_any_text_is_an_id(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app")
    texts = ["7", "07", "7 ", "ärger", "视频", "a'b\"c", "x" * 1000]
    assert _numbers(ids, TAG, *texts) == {text: i for i, text in enumerate(texts)}


def test_no_texts_change_nothing(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app")
    assert _numbers(ids, USER) == {}
    assert not ids.path(USER).exists()


def test_known_texts_leave_the_file_alone(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app")
    _numbers(ids, USER, "a", "b")
    before = ids.path(USER).stat()
    _numbers(ids, USER, "b")
    assert ids.path(USER).stat().st_ino == before.st_ino


def test_a_killed_import_leaves_the_old_numbers(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app")
    _numbers(ids, USER, "a", "b")
    ids.path(USER).with_name(".user.parquet.4711").write_bytes(b"half a fi")
    assert _numbers(ids, USER, "c", "a") == {"c": 2, "a": 0}


def _number_repeatedly(home: Path, worker: int) -> None:
    ids = IdMap(Settings(home=home), "app")
    for step in range(20):
        ids.number(USER, pa.array([f"shared-{step}", f"{worker}-{step}", "everybody"]))


@pytest.mark.slow
def test_processes_at_once_give_no_number_twice_and_lose_none(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_number_repeatedly, args=(tmp_path, i)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    ids = IdMap(Settings(home=tmp_path), "app")
    rows = pq.read_table(ids.path(USER))
    # 20 texts that both processes use, 20 of each process alone, and one of all.
    assert rows["id"].to_pylist() == list(range(20 + 2 * 20 + 1))
    assert len(set(rows["text"].to_pylist())) == 61


def test_a_lock_that_is_held_too_long_means_try_again_later(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app", lock_seconds=0.1)
    _numbers(ids, USER, "a")
    with (
        FileLock(tmp_path / "ids" / "app" / ".user.lock"),
        pytest.raises(RetryLaterError, match="user ids of app"),
    ):
        _numbers(ids, USER, "b")


def test_a_file_with_other_numbers_is_refused(tmp_path: Path) -> None:
    ids = IdMap(Settings(home=tmp_path), "app")
    _numbers(ids, USER, "a", "b")
    pq.write_table(pa.table({"text": ["a", "b"], "id": [0, 2]}), ids.path(USER))
    with pytest.raises(InvalidDataError, match="restore it"):
        _numbers(ids, USER, "c")
