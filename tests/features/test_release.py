"""The registry of 0.1, which knew no merge, goes on without losing a release."""

from datetime import datetime

import pytest
import sqlalchemy as sa

from features.merge_config import DEFAULT_MERGE, MergeConfig
from features.release import current_release, find_release, open_registry
from features.settings import Settings
from serving.release import VERIFIED, ReleaseWriter

OLD = sa.MetaData()
RELEASES = sa.Table(
    "releases",
    OLD,
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("bundles", sa.JSON, nullable=False),
    sa.Column("collections", sa.JSON, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("created_by", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text),
)
POINTER = sa.Table(
    "release_pointer",
    OLD,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
)


@pytest.fixture
def registry_of_0_1(settings: Settings) -> sa.Engine:
    settings.root.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(settings.database)
    OLD.create_all(engine)
    row = {
        "version": "r1",
        "state": "live",
        "bundles": {"interests": "tiny/v1"},
        "collections": {"interests": "videos_tiny_v1"},
        "created_at": datetime(2026, 1, 22),  # noqa: DTZ001 - as the registry stores it
        "created_by": "facet",
    }
    with engine.begin() as connection:
        connection.execute(sa.insert(RELEASES).values(row))
        connection.execute(sa.insert(POINTER).values(id=1, version="r1", revision=7))
    return engine


def test_a_release_of_0_1_is_still_live_and_merges_by_the_defaults(
    registry_of_0_1: sa.Engine, settings: Settings
) -> None:
    for _ in range(2):  # opening it again changes nothing
        release = current_release(open_registry(settings))
        assert release is not None
        assert (release.version, release.revision, release.merge) == ("r1", 7, DEFAULT_MERGE)
        assert release.bundles == {"interests": "tiny/v1"}


def test_the_next_release_keeps_its_merge_beside_the_old_one(
    registry_of_0_1: sa.Engine, settings: Settings
) -> None:
    engine = open_registry(settings)
    merge = MergeConfig(weights={"interests": 0.6, "ease": 0.4}, depth=200)
    writer = ReleaseWriter(engine)
    writer.begin("r2", bundles={}, collections={}, merge=merge, created_by="test")
    writer.set_state("r2", VERIFIED)
    writer.flip("r2", expected_revision=7)
    found = current_release(engine)
    assert found is not None
    assert (found.version, found.merge) == ("r2", merge)
    old = find_release(engine, "r1")
    assert old is not None
    assert (old.state, old.merge) == ("retired", DEFAULT_MERGE)
    assert find_release(engine, "r3") is None
