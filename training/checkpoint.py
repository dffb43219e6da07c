"""Checkpoints: a killed training run again continues where it was, with the same result.

One file per run, named after everything that decides its outcome, so a run with another configuration, other
data or other code never picks it up. It is replaced atomically and holds named arrays and JSON only; nothing
is unpickled."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import structlog
import torch
from torch import Tensor

log = structlog.get_logger(__name__)

FACTS: Final = "facts.json"
State = Mapping[str, Any]
"""Nested mappings of tensors, arrays and JSON values."""


class Checkpoint:
    """Where one run keeps its state.

    Args:
        seconds: ``is_due`` so long after the last save.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._saved >= self._seconds

    def save(self, state: State) -> None:
        """Replace the saved state."""
        arrays: dict[str, np.ndarray] = {}
        facts = _split(state, "", arrays)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        building = self._path.with_suffix(f".{os.getpid()}.building")
        with building.open("wb") as file:
            arrays[FACTS] = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        building.replace(self._path)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or ``None``; a damaged file counts as none."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                facts = json.loads(file[FACTS].tobytes())
                return _join(facts, {name: file[name] for name in file.files})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            log.warning("checkpoint unreadable, starting again", path=str(self._path), error=str(error))
            return None

    def remove(self) -> None:
        """Forget the run; it is finished."""
        self._path.unlink(missing_ok=True)


def run_key(*facts: object) -> str:
    """Short name of everything that decides a run's outcome."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def code_key() -> str:
    """Sum over the code that decides a run's outcome."""
    root = Path(__file__).parents[1]
    files = sorted(path for folder in ("features", "training") for path in (root / folder).rglob("*.py"))
    return run_key(*(path.read_text() for path in files))


def _split(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401 - any JSON value
    """JSON of ``value`` in which arrays are replaced by their names."""
    if isinstance(value, Mapping):
        return {key: _split(part, f"{name}/{key}", arrays) for key, part in value.items()}
    if isinstance(value, Tensor):
        arrays[name] = value.detach().cpu().numpy().copy()
        return {"tensor": name}
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    return value


def _join(facts: Any, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(facts, dict):
        return facts
    if facts.keys() == {"tensor"}:
        return torch.from_numpy(arrays[facts["tensor"]])
    if facts.keys() == {"array"}:
        return arrays[facts["array"]]
    return {key: _join(part, arrays) for key, part in facts.items()}
