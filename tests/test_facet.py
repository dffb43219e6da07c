"""The command line: what scripts rely on. Every command runs in a process of its own, as a user's would."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from features.settings import Settings
from serving.doctor import _listens
from tests.features.landing_rows import DAY, land_day, watch

COMMANDS = (
    "simulate import validate ingest clean materialize register quarantine train repeat evaluate backtest "
    "leaderboard tune recall-batch publish rollback recall serve up airflow doctor"
)


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"FACET_HOME": str(settings.home), "PATH": str(Path(sys.executable).parent)}
    return subprocess.run(
        [sys.executable, "-m", "facet", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_help_names_every_command(settings: Settings) -> None:
    text = run(settings, "--help").stdout
    assert [name for name in COMMANDS.split() if name not in text] == []


def test_simulate_reports_what_landed(settings: Settings) -> None:
    asked = ["--days", "2", "--last-day", DAY, "--users", "50", "--videos", "100"]
    report = last_json(run(settings, "simulate", *asked, "--json"))
    assert (report["first_day"], report["last_day"]) == ("2026-03-01", DAY)
    assert report["events"] > 0
    assert (settings.landing / "watches" / DAY).is_dir()


def test_ingest_prints_counts_and_checksums_and_a_second_time_the_same(settings: Settings) -> None:
    land_day(settings, [watch("a"), watch("a"), watch("b"), watch("c"), watch("d"), b"broken"])
    first = last_json(run(settings, "ingest", DAY, "--json"))
    land = {name: first[name] for name in ("read", "kept", "duplicate", "quarantined", "balanced")}
    # Ten videos, five users and six watches.
    assert land == {"read": 21, "kept": 19, "duplicate": 1, "quarantined": 1, "balanced": True}
    assert first["partitions"][f"watches/{DAY}"]["rows"] == 4
    assert last_json(run(settings, "ingest", DAY, "--json")) == first


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["ingest", "tomorrow"], 2, "'tomorrow' is not a day; write YYYY-MM-DD"),
        (["ingest", DAY], 2, "holds no files; land the watches of 2026-03-02 there first"),
        (["materialize"], 2, "run `facet ingest` first"),
        (["materialize", DAY], 2, "no watches"),
        (["train", "popularity"], 2, "run `facet ingest` first"),
        (["recall", "zoe"], 2, "'zoe' is no user id"),
        (["recall", "zoe", "--source", "app"], 2, "no log with text ids was imported as 'app'"),
        (["import", "elsewhere", "."], 2, "unknown source 'elsewhere'"),
        (["train", "single_activation", "--until", "2026-03-02T00:00"], 2, "has no UTC offset"),
        (["train", "magic", "--until", DAY], 2, "magic"),
        (["recall", "1"], 1, "facet publish"),
        (["map"], 1, "facet publish"),
    ],
)
def test_a_failure_is_one_clear_line_and_a_code(
    settings: Settings, arguments: list[str], code: int, text: str
) -> None:
    done = run(settings, *arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_nothing_missing_in_an_installed_environment(settings: Settings) -> None:
    report = last_json(run(settings, "doctor", "--json"))
    assert report["failed"] == []


def test_doctor_survives_a_milvus_whose_name_nobody_knows() -> None:
    assert not _listens("milvus.invalid", 19530)


def test_doctor_says_what_to_do_when_a_setting_is_wrong(settings: Settings, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    done = run(Settings(home=blocked / "home"), "doctor")
    assert done.returncode == 1
    assert "set FACET_HOME" in done.stdout
