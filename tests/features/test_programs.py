"""Exported programs run, and tell nobody about it."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

REPOSITORY = Path(__file__).parents[2]
RUN = """
import sys, numpy, pathlib
from features.programs import open_program
session = open_program(pathlib.Path(sys.argv[1]))
print(session.run(None, {"x": numpy.array([2.0, 3.0], numpy.float32)})[0].tolist())
"""


def write_negation(path: Path) -> None:
    """A program that changes the sign of two numbers."""
    x, y = (make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy")
    graph = make_graph([make_node("Neg", ["x"], ["y"])], "negation", [x], [y])
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10), path)


def test_a_program_runs_and_onnx_runtime_keeps_no_record_of_it_to_send(tmp_path: Path) -> None:
    """With telemetry on, it makes up an id of the device below the home folder; in CI it never does."""
    write_negation(tmp_path / "negation.onnx")
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "negation.onnx")],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[-2.0, -3.0]"
    assert list(home.rglob("*")) == []
