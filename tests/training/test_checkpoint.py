"""What a checkpoint holds, and what it does when it is damaged."""

from pathlib import Path

import numpy as np
import torch

from training.checkpoint import Checkpoint, run_key


def test_tensors_arrays_and_values_come_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new" / "run.npz", seconds=60.0)
    assert checkpoint.load() is None
    checkpoint.save(
        {
            "step": 3,
            "name": None,
            "weights": {"a": torch.tensor([1.5, 2.5])},
            "counts": np.eye(2),
            "empty": {},
        }
    )
    loaded = checkpoint.load()
    assert loaded is not None
    assert (loaded["step"], loaded["name"], loaded["empty"]) == (3, None, {})
    assert torch.equal(loaded["weights"]["a"], torch.tensor([1.5, 2.5]))
    assert loaded["counts"].tolist() == [[1, 0], [0, 1]]


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    checkpoint = Checkpoint(path, seconds=60.0)
    checkpoint.save({"weights": torch.arange(1000)})
    path.write_bytes(path.read_bytes()[:500])
    assert checkpoint.load() is None


def test_it_is_due_after_its_time_and_gone_when_removed(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "a", seconds=0.0).is_due
    patient = Checkpoint(tmp_path / "b.npz", seconds=60.0)
    assert not patient.is_due
    patient.save({"step": 1})
    patient.remove()
    assert patient.load() is None
    assert list(tmp_path.iterdir()) == []


def test_another_configuration_is_another_run() -> None:
    assert run_key("m", {"seed": 1}) == run_key("m", {"seed": 1})
    assert run_key("m", {"seed": 1}) != run_key("m", {"seed": 2})
