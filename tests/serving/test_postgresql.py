"""The registries on a real PostgreSQL, as in production: publishers that compete, and tables of old."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.ingest import ingest
from features.materialize import materialize
from features.release import current_release, open_registry
from features.settings import Settings
from features.store import FeatureStore
from serving.errors import PublishConflictError
from serving.publish import publish, rollback
from serving.release import VERIFIED, ReleaseWriter
from serving.settings import ServingSettings
from tests.features.landing_rows import DAY, land_day, watch
from tests.features.test_experiment import check_one_of_two_that_start_together_runs
from tests.postgresql import running_postgresql
from tests.serving.bundles import write_interests
from tests.serving.test_offline import check_two_may_hide_the_same_video
from tests.serving.test_release import check_rollback_leads_to_what_was_replaced

pytestmark = [pytest.mark.server, pytest.mark.slow]
NUM_PUBLISHERS = 3
NUM_FLIPS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgresql() as url:
        yield url


@pytest.fixture
def on_postgresql(server: str, tmp_path: Path) -> Settings:
    """A home whose registries lie in an empty database."""
    with sa.create_engine(server).begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return Settings(home=tmp_path / "home", database_url=server)


def flip_often(settings: Settings, name: str, together: Barrier) -> None:
    """Publish ``NUM_FLIPS`` releases against everybody else; a flip that lost reads the pointer again."""
    together.wait(timeout=60)
    engine = open_registry(settings)  # also the tables are created by all of them at once
    writer = ReleaseWriter(engine)
    for number in range(NUM_FLIPS):
        version = f"{name}{number}"
        writer.begin(version, bundles={"interests": version}, collections={}, created_by=name)
        writer.set_state(version, VERIFIED)
        while not is_flipped(writer, engine, version):
            pass


def is_flipped(writer: ReleaseWriter, engine: sa.Engine, version: str) -> bool:
    release = current_release(engine)
    try:
        writer.flip(version, expected_revision=release.revision if release else 0)
    except PublishConflictError:
        return False
    return True


def test_no_flip_of_publishers_that_compete_is_lost_or_counted_twice(on_postgresql: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(NUM_PUBLISHERS)
    publishers = [
        context.Process(target=flip_often, args=(on_postgresql, f"p{i}-", together), daemon=True)
        for i in range(NUM_PUBLISHERS)
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join(timeout=120)
    assert [publisher.exitcode for publisher in publishers] == [0] * NUM_PUBLISHERS
    release = current_release(open_registry(on_postgresql))
    assert release is not None
    assert release.revision == NUM_PUBLISHERS * NUM_FLIPS
    states = [entry.state for entry in ReleaseWriter(open_registry(on_postgresql)).entries()]
    assert sorted(states) == ["live"] + ["retired"] * (NUM_PUBLISHERS * NUM_FLIPS - 1)


def test_a_registry_of_0_1_gets_the_columns_that_it_lacks(on_postgresql: Settings) -> None:
    engine = open_registry(on_postgresql)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE releases DROP COLUMN merge_config, DROP COLUMN replaced"))
    columns = {column["name"] for column in sa.inspect(open_registry(on_postgresql)).get_columns("releases")}
    assert {"merge_config", "replaced"} <= columns


def test_what_a_release_replaced_is_noted_where_rollback_looks(on_postgresql: Settings) -> None:
    check_rollback_leads_to_what_was_replaced(on_postgresql)


def test_one_of_two_experiments_that_start_together_runs(on_postgresql: Settings) -> None:
    check_one_of_two_that_start_together_runs(open_registry(on_postgresql))


def test_two_may_hide_the_same_video_at_the_same_moment(on_postgresql: Settings) -> None:
    check_two_may_hide_the_same_video(on_postgresql)


def test_a_release_is_published_rolled_back_and_read(
    on_postgresql: Settings, milvus: ServingSettings
) -> None:
    versions = [
        publish([write_interests(on_postgresql, name)], settings=on_postgresql, serving_settings=milvus)
        for name in ("v1", "v2")
    ]
    assert rollback(settings=on_postgresql, serving_settings=milvus) == versions[0]
    release = current_release(open_registry(on_postgresql))
    assert release is not None
    assert (release.version, release.revision) == (versions[0], 3)
    assert not (on_postgresql.root / "facet.db").exists()


def test_features_are_registered_and_read_through_the_sql_registry(on_postgresql: Settings) -> None:
    land_day(on_postgresql, [watch("a", 13, video_id=1), watch("b", 14, video_id=2)])
    ingest([DAY], settings=on_postgresql)
    materialize([DAY], settings=on_postgresql)
    found = FeatureStore(on_postgresql).lookup(1)
    assert found is not None
    assert list(found.history.video_ids) == [1, 2]
    assert not (on_postgresql.feast / "registry.db").exists()
