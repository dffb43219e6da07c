"""House rules that a linter cannot state. Raise a limit only together with a reason here."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES = {
    "dags": 80,
    "features": 400,
    "training": 400,
    "serving": 400,
    "tests": 400,
    "benchmarks": 400,
}
MAX_FUNCTION_LINES = 60
MAX_README_LINES = 150
FILES = [ROOT / "facet.py", *(p for folder in MAX_FILE_LINES for p in sorted((ROOT / folder).rglob("*.py")))]
JUNK_DRAWERS = {"utils", "util", "helpers", "common", "misc"}
UNPICKLING = re.compile(r"\bpickle\.load|\btorch\.load\(|\bjoblib\.load|allow_pickle=True")
PATCHING = re.compile(r"unittest\.mock|MagicMock|monkeypatch\.setattr|mocker\.")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_small_and_named_for_what_it_holds(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES.get(path.relative_to(ROOT).parts[0], 400)
    assert path.stem not in JUNK_DRAWERS
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, f"{node.name} is too long to read"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    is_test = path.name.startswith("test_")
    assert not text.strip() or is_test or ast.get_docstring(ast.parse(text)), (
        "a file starts with one sentence"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled_or_patched(path: Path) -> None:
    if path == Path(__file__):
        return
    assert not UNPICKLING.search(path.read_text())
    assert not PATCHING.search(path.read_text())


@pytest.mark.parametrize("folder", ["features", "training", "serving", "dags"])
def test_tests_lie_where_their_subject_lies(folder: str) -> None:
    for path in sorted((ROOT / "tests" / folder).rglob("test_*.py")):
        inside = path.relative_to(ROOT / "tests").parent
        assert (ROOT / inside).is_dir(), f"{path} tests nothing in {inside}"


def test_readme_is_short_and_shows_the_two_commands_at_once() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= MAX_README_LINES
    assert {"make demo", "make test"} <= set(re.findall(r"make \w+", "\n".join(lines[:20])))


def test_every_setting_is_documented() -> None:
    from features.settings import Settings
    from serving.settings import ServingSettings
    from serving.stack_settings import StackSettings
    from training.settings import TrainingSettings

    text = (ROOT / "docs" / "operating.md").read_text()
    for model in (Settings, ServingSettings, StackSettings, TrainingSettings):
        for name in model.model_fields:
            assert f"FACET_{name.upper()}" in text, f"docs/operating.md lacks FACET_{name.upper()}"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_a_benchmark_that_is_run_as_a_module_finds_the_others(path: Path) -> None:
    local = {each.stem for each in (ROOT / "benchmarks").iterdir()}
    named = {
        node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
    }
    assert not local & {name.partition(".")[0] for name in named if name}, "import it as benchmarks.<name>"
