"""``facet import`` says what it did, in a line each or as JSON."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from features.sources.command import import_logs
from tests.features.sources.own_log import MAP, PLAYS, VIDEOS


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Arguments that import a small log."""
    for name, text in {"plays.csv": PLAYS, "videos.csv": VIDEOS, "map.toml": MAP}.items():
        (tmp_path / name).write_text(text)
    return ["csv", str(tmp_path), "--map", str(tmp_path / "map.toml")]


def _run(arguments: list[str], home: Path) -> str:
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)  # as in facet.py
    app.command()(import_logs)
    result = CliRunner().invoke(app, arguments, env={"FACET_HOME": str(home)})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_json_object_holds_every_count(command: list[str], tmp_path: Path) -> None:
    facts = json.loads(_run([*command, "--json"], tmp_path / "home").splitlines()[-1])
    assert facts["files"] == {"plays.csv": 3, "videos.csv": 2}
    assert facts["days"]["watches"] == {"2026-03-02": 2, "2026-03-03": 1}


def test_people_read_which_days_to_ingest(command: list[str], tmp_path: Path) -> None:
    assert "2026-03-02..2026-03-03 (2)" in _run(command, tmp_path / "home")


def test_the_help_shows_a_map(tmp_path: Path) -> None:
    text = _run(["--help"], tmp_path)
    assert "\n      [watches.columns]\n" in text, "on a line of its own, like the rest of the map"
    assert "--map" in text
