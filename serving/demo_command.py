"""``facet ... --json`` as a process beside the demo, and what it printed last."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from features.errors import RetryLaterError
from serving.airflow import REPOSITORY


class FacetCommand:
    """One run of the command line; starts at once, its output goes to ``log``."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self._arguments = arguments
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["nice", sys.executable, "-m", "facet", *arguments, "--json"],
                cwd=REPOSITORY,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def result(self) -> dict[str, Any]:
        """The JSON object that it printed last, once it has ended.

        Raises:
            RetryLaterError: it failed; with the end of its output.
        """
        code = self._process.wait()
        lines = self._log.read_text(errors="replace").splitlines()
        if code:
            tail = "\n".join(lines[-25:])
            raise RetryLaterError(
                f"facet {' '.join(self._arguments)} ended with {code}\n{self._log}:\n{tail}"
            )
        found: dict[str, Any] = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
        return found

    def stop(self) -> None:
        """End it if it still runs."""
        self._process.kill()
        self._process.wait()
