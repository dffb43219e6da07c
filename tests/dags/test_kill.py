"""The kill matrix in small; `python -m benchmarks.kill_matrix` is the whole of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_bodies_killed_and_run_again_leave_what_an_undisturbed_run_leaves(tmp_path: Path) -> None:
    environment = os.environ | {"FACET_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.kill_matrix", "2", "0"]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    cases = json.loads((tmp_path / "bench" / "kill_matrix.json").read_text())["cases"]
    assert [case["task"] for case in cases] == ["stage", "validate", "commit", "materialize"]
    assert [(case["kills"], case["equal"]) for case in cases] == [(2, 2)] * 4
