"""Several processes train as one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.bundle import open_bundle
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.distributed import share, share_of_targets
from training.examples import Batch
from training.group import Group
from training.run import train
from training.settings import TrainingSettings

REPOSITORY = Path(__file__).parents[2]


def test_every_user_and_target_is_trained_by_exactly_one_process() -> None:
    batch = Batch(
        user_ids=np.array([10, 11, 12]),
        video_rows=np.array([[1], [2], [3]]),
        actions=np.zeros((3, 1), dtype=np.int64),
        age_days=np.zeros((3, 1), dtype=np.float32),
        target_users=np.array([0, 1, 1, 2]),
        target_rows=np.array([5, 6, 7, 8]),
        target_weights=np.ones(4, dtype=np.float32),
        turned_down_users=np.array([1, 2]),
        turned_down_rows=np.array([9, 4]),
    )
    first, second = (share(batch, Group(rank, 2)) for rank in (0, 1))
    assert (first.user_ids.tolist(), second.user_ids.tolist()) == ([10, 12], [11])
    assert (first.target_rows.tolist(), second.target_rows.tolist()) == ([5, 8], [6, 7])
    assert (first.target_users.tolist(), second.target_users.tolist()) == ([0, 1], [0, 0])
    assert (first.turned_down_users.tolist(), first.turned_down_rows.tolist()) == ([1], [4])
    assert (second.turned_down_users.tolist(), second.turned_down_rows.tolist()) == ([0], [9])
    assert share_of_targets(batch, Group(1, 2)).tolist() == [1, 2]
    assert share(batch, Group()) is batch


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.1, num_users=60, num_videos=80, num_days=4)
    small = ["dim=8", "dropout=0", "epochs=3", "refit_epochs=1", "num_negatives=32", "batch_size=16"]
    alone = train(
        "single_activation", at(3), settings=settings, overrides=small, show_progress=False,
        training=TrainingSettings(mlflow_uri="off", train_threads=1),
    )  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "facet.py",
    ]
    command += ["train", "single_activation", "--until", at(3).isoformat(), "--json"]
    command += [argument for key in small for argument in ("--set", key)]
    environment = os.environ | {
        "FACET_HOME": str(tmp_path),
        "FACET_MLFLOW_URI": "off",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    paths = {json.loads(line)["bundle"] for line in done.stdout.splitlines() if line.startswith("{")}
    assert len(paths) == 1, "both processes name the one bundle"
    one, two = open_bundle(alone), open_bundle(Path(paths.pop()))
    np.testing.assert_allclose(one.vectors, two.vectors, atol=2e-3)
    assert one.activation.num_rows == two.activation.num_rows
