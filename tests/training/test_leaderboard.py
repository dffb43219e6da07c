"""A leaderboard trains what is missing, survives failing rows, and compares on the same users."""

from pathlib import Path

import pytest

from features.capacity import Capacity
from features.errors import BadInputError
from features.settings import Settings
from tests.browser import (
    DESKTOP,
    PHONE,
    OpenPage,
    scrolls_sideways,
    serious_findings,
)
from tests.training.logs import planted_log
from training.evaluation import judge_bundle
from training.leaderboard import Leaderboard, LeaderboardConfig, Result, read_config, run_leaderboard
from training.leaderboard_page import write_page
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
DAYS = "2026-03-04..2026-03-04"  # the fourth day of the log


@pytest.fixture
def planted(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    return settings


def config_of(*rows: dict[str, object]) -> LeaderboardConfig:
    return LeaderboardConfig.model_validate({"until": "2026-03-03", "days": DAYS, "rows": rows})


ALL_DAYS = {"name": "all", "model": "popularity", "set": ("window_days=none",)}
ONE_DAY = {"name": "one", "model": "popularity", "set": ("window_days=1",)}
BROKEN = {"name": "broken", "model": "popularity", "set": ("magic=1",)}


def board(config: LeaderboardConfig, settings: Settings, parallel: int = 1) -> Leaderboard:
    return run_leaderboard(config, "b", settings=settings, parallel=parallel, training=UNTRACKED)


def bundles_of(settings: Settings) -> set[Path]:
    return set(settings.bundles.glob("popularity/*"))


def test_rows_are_judged_on_the_report_half_and_against_the_first(planted: Settings) -> None:
    from features.days import parse_span

    first, second = board(config_of(ALL_DAYS, ONE_DAY), planted).rows
    for line in (first, second):
        judged = judge_bundle(Path(line["bundles"][0]), *parse_span(DAYS), settings=planted, half="report")
        assert line["recall_at_50"] == pytest.approx(judged.metrics["recall_at_50"])
    assert first["change"] is None
    assert second["change"] == pytest.approx(second["recall_at_50"] / first["recall_at_50"] - 1)


def test_a_killed_run_trains_only_what_is_missing(planted: Settings) -> None:
    board(config_of(ALL_DAYS), planted)  # the run was killed after its first row
    kept = bundles_of(planted)
    whole = board(config_of(ALL_DAYS, ONE_DAY), planted)
    assert len(kept) == 1
    assert len(bundles_of(planted)) == 2
    assert board(config_of(ALL_DAYS, ONE_DAY), planted) == whole
    assert len(bundles_of(planted)) == 2


def test_figures_of_another_pruning_are_judged_anew_without_training(planted: Settings) -> None:
    whole = board(config_of(ALL_DAYS), planted)
    (path,) = (planted.root / "leaderboards" / "b").glob("*.json")
    result = Result.model_validate_json(path.read_text())
    older = result.model_copy(
        update={"capacity": Capacity(rule="all"), "metrics": result.metrics | {"recall_at_50": 9.0}}
    )
    path.write_text(older.model_dump_json())
    assert board(config_of(ALL_DAYS), planted) == whole
    assert len(bundles_of(planted)) == 1


def test_one_failing_row_does_not_stop_the_others(planted: Settings) -> None:
    found = board(config_of(BROKEN, ALL_DAYS), planted)
    assert [line["name"] for line in found.rows] == ["all"]
    assert list(found.failed) == ["broken"]
    assert "magic" in found.failed["broken"]


@pytest.mark.parametrize("text", ["rows = 1", "until = ", "until='2026-03-03'\ndays='2026-03-04'\nrows=[]"])
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.toml").write_text(text)
    with pytest.raises(BadInputError, match="is no leaderboard"):
        read_config(tmp_path / "b.toml")


def test_the_page_holds_the_table_groups_and_plots_and_loads_nothing(planted: Settings) -> None:
    page = write_page(board(config_of(ALL_DAYS, ONE_DAY), planted), "two < three", planted.root / "page.html")
    text = page.read_text()
    assert "two &lt; three" in text
    assert text.count("<svg") == 3, "tag diversity and two groupings; popularity has no searches"
    assert "recall_at_50 by history" in text
    assert "<script" not in text
    assert "src=" not in text


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False)])
def test_the_page_can_be_read_by_everybody_in_light_and_dark_and_on_a_phone(
    planted: Settings, open_page: OpenPage, size: tuple[int, int], dark: bool
) -> None:
    path = write_page(board(config_of(ALL_DAYS, ONE_DAY), planted), "two", planted.root / "page.html")
    page = open_page(path.as_uri(), size=size, dark=dark)
    assert serious_findings(page) == []
    assert not scrolls_sideways(page)
