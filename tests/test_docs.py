"""What README.md and docs/ tell a reader to type works: blocks are run, other mentions exist.

The documents share one home, in the order in which a reader meets them; own logs have a home of their own.
"""

import re
import shlex
import socket
import sys
import tomllib
from collections.abc import Iterator
from os import environ, pathsep
from pathlib import Path
from typing import Any

import pytest
import typer

import facet
from features.sources.column_map import ColumnMap
from tests.documents import COMMANDS, DOCUMENTS, OTHERS, ROOT, Block, blocks_of, run_blocks

RUN_ORDER = ["README.md", "docs/data.md", "docs/operating.md", "docs/backup.md", "docs/serving.md"]
"""All but data.md use what README.md has made."""
BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
RUN = [block for block in BLOCKS if block.language in COMMANDS and block.reason is None]
CODE = re.compile(r"`([^`\n]+)`")
LIST_OF_NOT_RUN = "## Commands that no test runs\n"
PRINTED = {
    "README.md": r"recall_at_50_low.*found by.*interests \d",
    "docs/data.md": r"interests \d.*(cooking|football|chess|travel|music|cats).*repaired +1\n",
    "docs/operating.md": r"ease.*rows +100\n",  # 50 for each of two users
    "docs/serving.md": r"followed.*new-merge.*old-model",
    "docs/backup.md": r"rows online.*\nrelease +\d",
}
"""What shows, beside their exit codes, that the commands of a document did something."""


def typed_commands(block_or_text: str) -> Iterator[list[str]]:
    """Words after ``facet`` of each command in a text, up to what ends a command."""
    for found in re.finditer(
        r"(?:^|[$(&|;]\s*|\s)facet ((?:[^\n|;&)`#]|#(?=\w))+)", block_or_text, re.MULTILINE
    ):
        try:
            yield shlex.split(found[1])
        except ValueError:
            continue


def problem_of(words: list[str]) -> str | None:
    """What is wrong with a command line, as far as names of commands and options go."""
    command: Any = typer.main.get_command(facet.app)
    path = ["facet"]
    for word in words:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        if word not in command.commands:
            return f"{' '.join(path)} has no command {word!r}"
        command = command.commands[word]
        path.append(word)
    if command.context_settings.get("ignore_unknown_options"):
        return None
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    typed = [word.split("=")[0] for word in words if word.startswith("--")]
    unknown = [word for word in typed if word not in options | {"--help"}]
    return f"{' '.join(path)} has no {unknown[0]}" if unknown else None


def environment_of(folder: Path) -> dict[str, str]:
    """Settings of a reader with an empty home, whose machine may be busy."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return {
        "PATH": f"{Path(sys.executable).parent}{pathsep}{environ['PATH']}",
        "HOME": str(folder),
        "FACET_HOME": str(folder / "var"),
        "FACET_PORT": str(ports[0]),
        "FACET_MILVUS_URI": f"http://127.0.0.1:{ports[1]}",
        "FACET_MLFLOW_URI": "off",
        "FACET_FEATURES_TIMEOUT_MS": "20000",
        "FACET_SEARCH_TIMEOUT_MS": "20000",
        "FACET_PUBLISH_MAX_SEARCH_MS": "20000",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder to work in, and the environment of a shell."""
    folder = tmp_path_factory.mktemp("reader")
    return folder, environment_of(folder)


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("document", RUN_ORDER)
def test_the_commands_of_a_document_run(document: str, reader: tuple[Path, dict[str, str]]) -> None:
    blocks = [block for block in RUN if block.document == ROOT / document]
    assert re.search(PRINTED[document], run_blocks(blocks, *reader), re.DOTALL)


def test_every_document_with_commands_is_run() -> None:
    assert {block.document for block in RUN} == {ROOT / document for document in RUN_ORDER}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_are_fenced_and_name_their_language(document: Path) -> None:
    assert {block.language for block in blocks_of(document)} <= {*COMMANDS, *OTHERS}
    outside = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.search(r"\n\n {4,}\S", outside) is None, "an indented block; fence it"


def test_blocks_that_are_not_run_are_listed_with_their_reason() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    section = text[text.index(LIST_OF_NOT_RUN) :].removeprefix(LIST_OF_NOT_RUN).split("\n## ")[0]
    listed = [line for line in section.splitlines() if line.startswith("- ")]
    assert listed == [block.listed for block in BLOCKS if block.reason]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_named_anywhere_exist_with_their_options(document: Path) -> None:
    texts = [*CODE.findall(document.read_text()), *(block.text for block in blocks_of(document))]
    problems = [problem_of(words) for text in texts for words in typed_commands(text)]
    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_targets_benchmarks_and_links_exist(document: Path) -> None:
    text = document.read_text()
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name for name in re.findall(r"[`\n]make ([\w-]+)", text) if name not in targets} == set()
    named = re.findall(r"make bench NAME=(\w+)|-m benchmarks\.(\w+)", text)
    names = [first or second for first, second in named]
    assert [name for name in names if not (ROOT / "benchmarks" / f"{name}.py").exists()] == []
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=lambda block: block.place)
def test_a_map_in_a_document_is_a_map(block: Block) -> None:
    ColumnMap.model_validate(tomllib.loads(block.text))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("facet publish BUNDLE --merge a=b", None),
        ("x=$(facet train ease --until DAY)", None),
        ("facet quarantine replay watches DAY --from FILE", None),
        ("facet airflow backfill create --dag-id x", None),
        ("facet fly", "facet has no command 'fly'"),
        ("facet quarantine burn", "facet quarantine has no command 'burn'"),
        ("facet recall 7 --explian", "facet recall has no --explian"),
    ],
)
def test_a_wrong_command_or_option_is_found(line: str, problem: str | None) -> None:
    assert [problem_of(words) for words in typed_commands(line)] == [problem]
