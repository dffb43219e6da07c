"""``/v1/recall`` answers what ``recall-batch --release`` lists: the real path of a small simulated home."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from features.bundle import open_bundle
from features.days import add_days, end_of, parse_span
from features.ingest import ingest
from features.materialize import materialize
from features.merge_config import Fusion, MergeConfig
from features.overlay import read_snapshot
from features.release import current_release, open_registry
from features.schema import PAD_ROW
from features.settings import Settings
from features.sources.simulation import SimulationConfig
from features.sources.simulator import simulate
from serving.publish import publish
from serving.recall import Recaller, open_recaller
from serving.result import Reason
from serving.settings import ServingSettings
from training.commands import app
from training.evaluation import judge_ranker
from training.recall_batch import Source, recall_batch, source_of_release, source_of_union
from training.run import train
from training.settings import TrainingSettings

pytestmark = [pytest.mark.server, pytest.mark.slow]
LAST_DAY = "2026-03-04"
AS_OF = end_of(LAST_DAY)
CONFIG = SimulationConfig(
    num_users=60,
    num_videos=150,
    num_uploaders=20,
    num_topics=8,
    num_days=4,
    last_day=LAST_DAY,
    new_videos_per_day=0.04,
    offline_per_day=0.02,
)
NEW_USERS = [CONFIG.num_users, 12_345]
"""Without a single watch, and without a profile."""
TOP_N = 30


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Days in the lake and the feature store."""
    settings = Settings(home=tmp_path_factory.mktemp("parity"))
    simulate(CONFIG, settings)
    ingest(CONFIG.days, settings=settings)
    materialize(CONFIG.days, settings=settings)
    return settings


@pytest.fixture(scope="module")
def bundles(home: Settings) -> list[Path]:
    """One of every kind, trained until half a day before the histories end: some of these are new to it."""

    def trained(model: str, *overrides: str) -> Path:
        return train(
            model,
            end_of(add_days(LAST_DAY, -1)),
            settings=home,
            overrides=overrides,
            show_progress=False,
            training=TrainingSettings(mlflow_uri="off"),
        )

    sides = "side_features=uploader_id,tag_ids"
    interests = trained("single_activation", "epochs=1", "dim=16", "min_watches=3", sides, "id_dropout=0.2")
    vectors = f"{interests.parent.name}/{interests.name}"
    return [
        interests,
        trained("item_cf", "min_watches=2"),
        trained("pinnersage", f"vectors={vectors}", "merge_distance=0.5"),
        trained("popularity"),
        trained("fresh", "new_days=3"),
        trained("followed"),
    ]


def ids_offline(settings: Settings, users: list[int], source: Source | None = None) -> dict[int, list[int]]:
    source = source or source_of_release("live", settings=settings)
    rows = recall_batch(source, np.array(users), AS_OF, TOP_N, settings=settings)
    lists: dict[int, list[int]] = {user: [] for user in users}
    for user, video in zip(rows["user_id"].to_pylist(), rows["video_id"].to_pylist(), strict=True):
        lists[user].append(video)
    return lists


def ids_online(recaller: Recaller, users: list[int]) -> dict[int, list[int]]:
    return {user: [c.video_id for c in recaller.recall(user, TOP_N).candidates] for user in users}


@pytest.mark.parametrize("fusion", ["arithmetic", "reciprocal_rank"])
def test_every_user_gets_the_same_list_offline_and_online(
    home: Settings, bundles: list[Path], milvus: ServingSettings, fusion: Fusion
) -> None:
    weights = {"interests": 0.4, "item_cf": 0.2, "pinnersage": 0.1, "popular": 0.1}
    weights |= {"fresh": 0.1, "followed": 0.1}
    merge = MergeConfig(weights=weights, fusion=fusion, depth=60)
    publish(bundles, settings=home, merge=merge, serving_settings=milvus)
    recaller = open_recaller(home, milvus)
    users = [*range(CONFIG.num_users), *NEW_USERS]
    online = ids_online(recaller, users)
    assert online == ids_offline(home, users)
    union = source_of_union(bundles, merge, AS_OF, settings=home)
    assert online == ids_offline(home, users, union), "the same videos without a release"
    assert {len(found) for found in online.values()} == {TOP_N}
    assert recaller.recall(NEW_USERS[1], TOP_N).reason is Reason.UNKNOWN_USER
    found_by = {
        origin.channel
        for user in users
        for c in recaller.recall(user, TOP_N).candidates
        for origin in c.channels
    }
    assert found_by == set(weights)
    bundle = open_bundle(bundles[0])
    shown = np.unique(np.concatenate(list(online.values())))
    assert (bundle.vocabulary.rows_of(shown) == PAD_ROW).any(), (
        "videos that came after the training are found"
    )
    snapshot = read_snapshot(home)
    assert snapshot is not None
    assert np.isin(bundle.video_ids, snapshot.offline).any()
    assert not np.isin(shown, snapshot.offline).any()


def test_evaluate_judges_the_release_that_is_live(
    home: Settings, bundles: list[Path], milvus: ServingSettings
) -> None:
    publish(bundles, settings=home, serving_settings=milvus)
    asked = ["evaluate", "--release", "live", "--days", LAST_DAY, "--json"]
    done = CliRunner(env={"FACET_HOME": str(home.home)}).invoke(app, asked)
    assert done.exit_code == 0, done.output
    source, (start, end) = source_of_release("live", settings=home), parse_span(LAST_DAY)
    expected = judge_ranker(source.ranker, source.rule, start, end, settings=home).metrics
    judged = json.loads(done.stdout.splitlines()[-1])
    assert {name: judged[name] for name in expected} == expected
    assert expected["recall_at_50"]


def test_the_weights_that_a_release_was_published_with_are_the_ones_it_is_read_with(
    home: Settings, bundles: list[Path], milvus: ServingSettings
) -> None:
    weights = {"interests": 1.0, "item_cf": 2.0, "pinnersage": 0.0, "fresh": 0.0, "followed": 0.0}
    merge = MergeConfig(weights=weights)
    publish(bundles, settings=home, merge=merge, serving_settings=milvus)
    release = current_release(open_registry(home))
    assert release is not None
    assert release.merge == merge
    users = list(range(CONFIG.num_users))
    assert ids_online(open_recaller(home, milvus), users) == ids_offline(home, users)
