"""A replay leaves one file per day and one table of all."""

from pathlib import Path

import pytest

from features.days import add_days, day_of
from features.settings import Settings
from tests.training.logs import FIRST_DAY, planted_log
from training.replay import ReplayedDay, read_replay, replay_day, summarize, table_of
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off", train_set={"popularity": ("window_days=none",)})


def written(folder: Path, day: str, recall: float | None) -> str:
    done = ReplayedDay(model="m", day=day, bundle=f"m/{day}", metrics={"recall_at_50": recall})
    path = folder / f"{day}.json"
    path.write_text(done.model_dump_json())
    return str(path)


def test_the_table_has_a_line_per_day_oldest_first_then_mean_and_spread(tmp_path: Path) -> None:
    paths = [written(tmp_path, day, recall) for day, recall in [("2026-03-03", 0.3), ("2026-03-02", 0.1)]]
    path = summarize(paths)
    assert Path(path).name == "2026-03-02..2026-03-03.summary.json"
    lines = [line.split() for line in table_of(read_replay(path)).splitlines()]
    assert lines == [
        ["day", "recall_at_50"],
        ["2026-03-02", "0.1000"],
        ["2026-03-03", "0.3000"],
        ["mean", "0.2000"],
        ["spread", "0.1414"],  # of two values: their distance over the root of two
    ]
    assert (tmp_path / "2026-03-02..2026-03-03.txt").read_text().split() == [w for row in lines for w in row]


def test_a_day_without_targets_has_no_figure(tmp_path: Path) -> None:
    path = summarize([written(tmp_path, "2026-03-02", None)])
    assert table_of(read_replay(path)).splitlines()[1].split() == ["2026-03-02", "-"]


@pytest.mark.slow
def test_a_day_is_judged_by_a_bundle_that_never_saw_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    days = [add_days(day_of(FIRST_DAY), i) for i in (2, 3)]
    paths = [replay_day("popularity", day, settings=settings, training=UNTRACKED) for day in days]
    assert paths == [str(settings.reports / "backtest" / "popularity" / f"{day}.json") for day in days]
    replayed = read_replay(summarize(paths)).days
    assert [done.day for done in replayed] == days
    assert all((Path(done.bundle) / "manifest.json").exists() for done in replayed)
    assert replayed[0].bundle != replayed[1].bundle
    assert (replayed[0].metrics["recall_at_50"] or 0) > 0
