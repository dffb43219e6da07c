"""Fenced blocks of the documents, and how to run them as a reader does: top to bottom, in one shell."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK: Final = re.compile(r"\*not run here: (.+)\*")
"""A line directly above a block."""
COMMANDS: Final = ("bash", "python")
OTHERS: Final = ("text", "toml")
SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    document: Path
    line: int
    """Of its first fence."""
    language: str
    text: str
    reason: str | None
    """Why it is not run, if it is not."""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def first_command(self) -> str:
        """The first line, without the comment at its end."""
        return re.split(r"\s+#", self.text.splitlines()[0])[0]

    @property
    def listed(self) -> str:
        """How the list in docs/operating.md names a block that is not run."""
        return f"- `{self.document.name}`, `{self.first_command}`: {self.reason}"


def blocks_of(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    found, lines = list[Block](), document.read_text().splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if start is None:
            start = number
            continue
        mark = MARK.fullmatch(lines[start - 1])
        text = "\n".join(lines[start + 1 : number])
        reason = mark[1] if mark else None
        found.append(Block(document, start + 1, lines[start][3:], text, reason))
        start = None
    assert start is None, f"{document} ends inside a block"
    return found


def run_blocks(blocks: Sequence[Block], folder: Path, environment: Mapping[str, str]) -> str:
    """Run blocks one after the other in one shell that ends at the first failure; returns what they print.

    What they started in the background is ended, too. The ports of the API and of Milvus are those of the
    environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script, log = folder / ".script.sh", folder / ".log"
    lines = "set -euo pipefail\n" + "\n".join(_as_shell(block) for block in blocks)
    lines = re.sub(r"(localhost|127\.0\.0\.1):8000", rf"\1:{environment['FACET_PORT']}", lines)
    script.write_text(
        lines.replace("--port 19530", f"--port {environment['FACET_MILVUS_URI'].split(':')[-1]}")
    )
    with log.open("wb") as output:
        options = {"cwd": folder, "env": {**environment}, "stdout": output, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(["bash", str(script)], start_new_session=True, **options)
        try:
            code = process.wait(SECONDS)
        finally:
            _end(process.pid)
    text = log.read_text(errors="replace")
    assert code == 0, f"exit code {code} after\n{text[-6000:]}"
    return text


def _as_shell(block: Block) -> str:
    if block.language == "python":
        return f"echo '## {block.place}'\npython - <<'PYTHON'\n{block.text}\nPYTHON"
    return f"echo '## {block.place}'\n{block.text}"


def _end(group: int) -> None:
    """End what a script left in the background."""
    try:
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        return
