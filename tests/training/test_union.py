"""Two bundles that know different things are better together, with weights chosen on other users."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from features.errors import BadInputError
from features.merge_config import MergeConfig
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.commands import app
from training.evaluation import judge_bundle
from training.run import train
from training.settings import TrainingSettings
from training.union import Union, tune_union

UNTRACKED = TrainingSettings(mlflow_uri="off")
DAYS = f"{at(7).isoformat()}..{at(8).isoformat()}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("union"))
    planted_log(settings, noise=0.1, num_users=120)
    return settings


@pytest.fixture(scope="module")
def paths(home: Settings) -> list[Path]:
    return [
        train(model, at(7), settings=home, overrides=own, training=UNTRACKED)
        for model, own in (("item_cf", []), ("popularity", ["window_days=none"]))
    ]


@pytest.fixture(scope="module")
def tuned(home: Settings, paths: list[Path]) -> Union:
    return tune_union(paths, at(7), at(8), settings=home)


def facet(home: Settings, *arguments: object) -> dict[str, Any]:
    """The JSON that a command prints last; an error of ours is raised as it is."""
    done = CliRunner(env={"FACET_HOME": str(home.home)}).invoke(app, [str(each) for each in arguments])
    if done.exception is not None:
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_weights_are_chosen_on_one_half_and_judged_on_the_other(
    home: Settings, paths: list[Path], tuned: Union
) -> None:
    assert sum(tuned.merge.weights.values()) == pytest.approx(1)
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    assert tuned.bundles == dict(zip(("item_cf", "popular"), names, strict=True))
    assert list(tuned.merge.weights) == ["item_cf", "popular"]
    alone = [judge_bundle(path, at(7), at(8), settings=home, half="tune").metrics for path in paths]
    best = max(metrics["recall_at_50"] or 0 for metrics in alone)
    # A channel alone is among what was tried.
    assert (tuned.tune["recall_at_50"] or 0) >= best
    report = judge_bundle(paths[0], at(7), at(8), settings=home, half="report")
    assert tuned.report.user_ids.tolist() == report.user_ids.tolist()


def test_evaluate_judges_a_union_as_it_was_tuned(
    home: Settings, paths: list[Path], tuned: Union, tmp_path: Path
) -> None:
    file = tmp_path / "union.json"
    file.write_text(tuned.merge.model_dump_json())
    judged = facet(home, "evaluate", *paths, "--days", DAYS, "--union", file, "--half", "report", "--json")
    assert {name: judged[name] for name in tuned.report.metrics} == tuned.report.metrics
    assert judged["recall_at_50_low"] <= judged["recall_at_50"] <= judged["recall_at_50_high"]


def test_evaluate_takes_the_settings_of_a_merge(home: Settings, paths: list[Path], tmp_path: Path) -> None:
    even, lone = tmp_path / "even.json", "weights=item_cf:1,popular:0"
    even.write_text(MergeConfig(weights={"item_cf": 0.5, "popular": 0.5}).model_dump_json())
    asked = ("evaluate", *paths, "--days", DAYS, "--json")
    alone = judge_bundle(paths[0], at(7), at(8), settings=home).metrics
    from_file = facet(home, *asked, "--union", even)
    assert facet(home, *asked, "--merge", lone)["recall_at_20"] == pytest.approx(alone["recall_at_20"])
    assert facet(home, *asked, "--union", even, "--merge", lone)["recall_at_20"] == alone["recall_at_20"]
    assert from_file["recall_at_20"] != alone["recall_at_20"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "name one --bundle"),
        (["BUNDLE", "--release", "live"], "name one --bundle"),
        (["--release", "live"], "there is no release 'live'"),
        (["BUNDLE", "BUNDLE"], "both fill channel 'item_cf'"),
        (["BUNDLE", "--merge", "weights=fresh:1"], "no bundle fills fresh"),
        (["BUNDLE", "--half", "both"], "--half both is none of"),
    ],
)
def test_evaluate_says_what_does_not_fit(
    home: Settings, paths: list[Path], options: list[str], text: str
) -> None:
    given = [str(paths[0]) if option == "BUNDLE" else option for option in options]
    with pytest.raises(BadInputError, match=text):
        facet(home, "evaluate", *given, "--days", DAYS)


def test_one_bundle_is_no_union(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="at least two"):
        tune_union([tmp_path], at(7), at(8), settings=Settings(home=tmp_path))
