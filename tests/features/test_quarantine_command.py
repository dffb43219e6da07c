"""What an operator reads, and the exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from features.ingest import ingest
from features.quarantine_command import quarantine_app, validate_command
from features.settings import Settings
from tests.features.landing_rows import DAY, land_day, watch

app = typer.Typer()
app.command("validate")(validate_command)
app.add_typer(quarantine_app, name="quarantine")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.setenv("FACET_HOME", str(tmp_path))
    good = [watch(f"g{i}", hour=23) for i in range(20)]
    land_day(
        Settings(), [*good, watch("stranger", hour=1, video_id=404), watch("long", watch_seconds=90_000)]
    )
    ingest([DAY], settings=Settings())
    return Settings()


def call(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, done.output
    return done.stdout


def call_json(*words: str, code: int = 0) -> dict[str, Any]:
    return json.loads(call(*words, "--json", code=code).splitlines()[-1])


def test_validate_prints_verdicts_and_fails_on_a_blocking_failure(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = call("validate", DAY)
    assert f"PASS  {DAY}  watches: 15 of 15 expectations met" in text
    monkeypatch.setenv("FACET_VALIDATION__MAX_UNKNOWN_VIDEOS", "0.01")
    text = call("validate", DAY, code=1)
    assert f"FAIL  {DAY}  watches: 14 of 15 expectations met" in text
    assert "1 of 21 rows fail (at most 1%)" in text
    assert "'event_id': 'stranger'" in text
    facts = call_json("validate", DAY, code=1)
    assert (facts["verdict"], facts["failed"], facts["expectations"]) == ("FAIL", 1, len(facts["results"]))


def test_quarantine_is_listed_shown_and_replayed(home: Settings, tmp_path: Path) -> None:
    rule = "watch_seconds is longer than a day"
    assert call_json("quarantine", "list") == {
        "rows": 1,
        "counts": [{"table": "watches", "landing_day": DAY, "rule": rule, "rows": 1}],
    }
    assert f"watches/{DAY}/a.jsonl:22: {rule}" in call("quarantine", "show", "watches", DAY)
    export = tmp_path / "repaired.jsonl"
    assert call_json("quarantine", "export", "watches", DAY, "--out", str(export))["rows"] == 1
    export.write_text(export.read_text().replace('"watch_seconds": 90000', '"watch_seconds": 9'))
    replayed = call_json("quarantine", "replay", "watches", DAY, "--from", str(export))
    assert (replayed["repaired"], replayed["still_refused"]) == (1, 0)
    assert call_json("quarantine", "replay", "watches", DAY) == {"refused_before": 0, "still_refused": 0}
