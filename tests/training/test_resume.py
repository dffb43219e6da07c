"""A training that is killed with SIGKILL and run again ends with the bits of an undisturbed one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from features.bundle import EXTRACTOR, open_bundle
from features.settings import Settings
from tests.training.logs import at, planted_log

REPOSITORY = Path(__file__).parents[2]
SMALL = ["dim=8", "epochs=12", "patience=12", "refit_epochs=4", "num_negatives=64", "batch_size=4"]
KILLS = 3


def start(home: Path) -> subprocess.Popen[str]:
    """The command line, saving its state ten times a second."""
    command = [
        sys.executable,
        "facet.py",
        "train",
        "single_activation",
        "--until",
        at(3).isoformat(),
        "--json",
    ]
    command += [argument for key in SMALL for argument in ("--set", key)]
    own = {"FACET_HOME": str(home), "FACET_MLFLOW_URI": "off", "FACET_TRAIN_CHECKPOINT_SECONDS": "0.1"}
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def finish(home: Path) -> Path:
    stdout, _ = start(home).communicate()
    return Path(json.loads(stdout.splitlines()[-1])["bundle"])


def kill_after_saves(home: Path, num_saves: int) -> None:
    """Run until the state was saved so often, then SIGKILL."""
    process, seen = start(home), set()
    while len(seen) < num_saves:
        assert process.poll() is None, "it ended before it could be killed"
        seen |= {path.stat().st_mtime_ns for path in (home / "checkpoints").glob("*.npz")}
        time.sleep(0.01)
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_training_killed_three_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    for name in ("calm", "killed"):
        planted_log(Settings(home=tmp_path / name), noise=0.1, num_users=120, num_videos=80, num_days=4)
    calm = open_bundle(finish(tmp_path / "calm"))
    for _ in range(KILLS):
        kill_after_saves(tmp_path / "killed", 5)
    killed = open_bundle(finish(tmp_path / "killed"))
    assert not list((tmp_path / "killed" / "checkpoints").glob("*.npz")), "nothing stays of a finished run"
    assert np.array_equal(calm.vectors, killed.vectors)
    assert (calm.path / EXTRACTOR).read_bytes() == (killed.path / EXTRACTOR).read_bytes()
    assert calm.activation.equals(killed.activation)
