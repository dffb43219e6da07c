"""item2vec and node2vec find planted interests, and the exported program gives what training had."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from features.bundle import open_bundle
from features.settings import Settings
from tests.training.logs import at, planted_log
from training.evaluation import judge_bundle
from training.models.item2vec import Item2vecConfig, Sentences
from training.run import train
from training.sessions import Sessions
from training.settings import TrainingSettings

UNTRACKED = TrainingSettings(mlflow_uri="off")
SMALL = ["dim=16", "epochs=8"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    planted_log(settings, noise=0.1, num_users=100)
    return settings


@pytest.mark.slow
@pytest.mark.parametrize(("model", "more"), [("item2vec", ["trend.power=0.2"]), ("node2vec", ["q=2"])])
def test_planted_interests_are_found(settings: Settings, model: str, more: Sequence[str]) -> None:
    path: Path = train(model, at(7), settings=settings, overrides=[*SMALL, *more], training=UNTRACKED)
    popular = train(
        "popularity", at(7), settings=settings, overrides=["window_days=none"], training=UNTRACKED
    )
    ours, theirs = (
        judge_bundle(bundle, at(7), at(8), settings=settings).metrics["recall_at_20"] or 0
        for bundle in (path, popular)
    )
    assert ours > 1.5 * theirs
    manifest = open_bundle(path).manifest
    assert (manifest.kind, manifest.num_interests) == ("interests", 1)


def test_each_epoch_has_all_sessions_in_another_order() -> None:
    sessions = Sessions(rows=np.arange(1, 61), bounds=np.arange(0, 61, 3))
    kept, shuffled = (Sentences(sessions, Item2vecConfig(shuffle=shuffle)) for shuffle in (False, True))
    for corpus, in_order in ((kept, True), (shuffled, False)):
        epochs = [[rows.tolist() for rows in corpus] for _ in range(2)]
        assert epochs[0] != epochs[1]
        assert sorted(map(sorted, epochs[0])) == sorted(map(sorted, epochs[1]))
        assert all(rows == sorted(rows) for epoch in epochs for rows in epoch) is in_order
