"""What nobody needs any more goes; what a bundle was trained on stays."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from features.housekeeping import Cleaned, clean
from features.lake import Lake
from features.schema import WATCHES
from features.settings import Settings
from features.stage import COMMITTED_FILE
from tests.features.test_lake import MONDAY, event_ids, rows
from tests.serving.bundles import write_ranking


def aged(path: Path, days: int) -> Path:
    moment = datetime.now(UTC).timestamp() - days * 86_400
    os.utime(path, (moment, moment))
    return path


def test_versions_of_bundles_stay(settings: Settings) -> None:
    lake = Lake(settings)
    for event in "abc":
        lake.write_day(WATCHES, MONDAY, rows(MONDAY, event))
    for log in (settings.lake / WATCHES / "_delta_log").glob("*.json"):
        text = log.read_text()
        log.write_text(_older(text))
    bundle = write_ranking(settings, {None: [1]})
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["data"]["snapshots"] = {WATCHES: 1}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert clean(settings=settings, keep_days=7).data_files == 1
    assert event_ids(lake, version=1) == ["b"]
    assert event_ids(lake) == ["c"]


def test_old_stages_and_checkpoints_go_and_young_ones_stay(settings: Settings) -> None:
    for name in ("old", "young", "done"):
        (settings.staging / name).mkdir(parents=True)
        (settings.staging / name / "stage.json").write_text("{}")
    (settings.staging / "done" / COMMITTED_FILE).write_text("{}")
    aged(settings.staging / "old" / "stage.json", days=8)
    checkpoints = settings.root / "checkpoints"
    checkpoints.mkdir()
    for name, days in (("a.npz", 8), ("b.npz", 6)):
        np.savez(checkpoints / name, x=np.zeros(1))
        aged(checkpoints / name, days)
    assert clean(settings=settings, keep_days=7) == Cleaned(data_files=0, stages=2, checkpoints=1)
    assert [path.name for path in settings.staging.iterdir()] == ["young"]
    assert [path.name for path in checkpoints.iterdir()] == ["b.npz"]


def _older(text: str) -> str:
    """The same commit, thirty days ago."""
    lines = [json.loads(line) for line in text.splitlines()]
    month = 30 * 86_400_000
    for line in lines:
        for action in ("remove", "commitInfo"):
            if action in line:
                key = "deletionTimestamp" if action == "remove" else "timestamp"
                line[action][key] -= month
    return "\n".join(json.dumps(line) for line in lines)
