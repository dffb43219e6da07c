"""The exported programs of a bundle, run by ONNX Runtime."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_program(path: Path, *, num_threads: int = 1) -> "InferenceSession":
    """The program at ``path``, ready to run on the CPU. It may be called from several threads."""
    # From 1.29 on it sends what it runs to its maker, model names among it. Read when it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
