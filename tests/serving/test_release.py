"""The pointer under competition; SQLite alone, no Milvus."""

import threading

import pytest
import sqlalchemy as sa

from features.release import RELEASES, current_release, open_registry
from features.settings import Settings
from serving.errors import PublishConflictError, RollbackError
from serving.release import DROPPED, FAILED, VERIFIED, ReleaseWriter


def verified(settings: Settings, *versions: str) -> ReleaseWriter:
    writer = ReleaseWriter(open_registry(settings))
    for version in versions:
        writer.begin(version, bundles={"interests": version}, collections={}, created_by="test")
        writer.set_state(version, VERIFIED)
    return writer


def published(settings: Settings, *versions: str, revision: int = 0) -> ReleaseWriter:
    """Each built, verified and made live, from that revision of the pointer on."""
    for number, version in enumerate(versions):
        writer = verified(settings, version)
        writer.flip(version, expected_revision=revision + number)
    return writer


def live_version(settings: Settings) -> str | None:
    release = current_release(open_registry(settings))
    return release and release.version


def test_nothing_is_live_before_the_first_flip(settings: Settings) -> None:
    verified(settings, "r1")
    assert live_version(settings) is None


def test_each_flip_retires_the_release_before_and_adds_one_to_the_revision(settings: Settings) -> None:
    writer = verified(settings, "r1", "r2")
    writer.flip("r1", expected_revision=0)
    writer.flip("r2", expected_revision=1)
    release = current_release(open_registry(settings))
    assert release is not None
    assert (release.version, release.state, release.revision) == ("r2", "live", 2)
    assert {entry.version: entry.state for entry in writer.entries()} == {"r1": "retired", "r2": "live"}


@pytest.mark.parametrize("seen", [0, 2], ids=["as if first", "from the future"])
def test_a_flip_that_saw_another_revision_changes_nothing(settings: Settings, seen: int) -> None:
    writer = verified(settings, "r1", "r2")
    writer.flip("r1", expected_revision=0)
    with pytest.raises(PublishConflictError, match=f"moved on from revision {seen}; nothing was changed"):
        writer.flip("r2", expected_revision=seen)
    assert live_version(settings) == "r1"
    assert {entry.version: entry.state for entry in writer.entries()} == {"r1": "live", "r2": "verified"}


def test_of_many_flips_that_saw_the_same_revision_one_wins(settings: Settings) -> None:
    versions = [f"r{i}" for i in range(8)]
    verified(settings, *versions)
    together, outcomes = threading.Barrier(len(versions)), []

    def flip(version: str) -> None:
        writer = ReleaseWriter(open_registry(settings))
        together.wait()
        try:
            writer.flip(version, expected_revision=0)
            outcomes.append(version)
        except PublishConflictError:
            outcomes.append(None)

    threads = [threading.Thread(target=flip, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version for version in outcomes if version] == [live_version(settings)]
    assert len(outcomes) == len(versions)


def test_only_a_servable_release_goes_live(settings: Settings) -> None:
    writer = published(settings, "r1")
    writer.begin("r2", bundles={}, collections={}, created_by="test")
    writer.set_state("r2", FAILED, reason="a vector was wrong")
    with pytest.raises(PublishConflictError, match="r2 is not servable"):
        writer.flip("r2", expected_revision=1)
    assert live_version(settings) == "r1"


@pytest.mark.parametrize("state", [VERIFIED, FAILED, DROPPED])
def test_the_live_release_cannot_be_marked_as_anything_else(settings: Settings, state: str) -> None:
    writer = published(settings, "r1")
    writer.begin("r1", bundles={}, collections={}, created_by="test")
    writer.set_state("r1", state)
    assert [entry.state for entry in writer.entries()] == ["live"]


def test_a_kept_release_that_is_published_again_in_vain_can_still_be_gone_back_to(settings: Settings) -> None:
    writer = published(settings, "r1", "r2")
    before = writer.entries()
    writer.begin("r1", bundles={}, collections={}, created_by="test")
    for state in (FAILED, VERIFIED):
        assert writer.entries() == before
        assert writer.rollback_target("r2", None) == "r1"
        assert writer.retire_old("r2") == ["r2", "r1"]
        writer.set_state("r1", state)


def test_rollback_skips_releases_that_were_published_after_the_live_one(settings: Settings) -> None:
    writer = published(settings, "r1", "r2", "r3")
    writer.flip("r2", expected_revision=3, is_rollback=True)
    assert writer.rollback_target("r2", None) == "r1"  # not r3, which was just rolled back from
    assert writer.rollback_target("r2", "r3") == "r3"
    with pytest.raises(RollbackError, match="cannot go back to r9: the releases kept are r3, r1"):
        writer.rollback_target("r2", "r9")


def after_bad_releases(settings: Settings) -> ReleaseWriter:
    """r2 and r3 were bad, so r1 served again until r4 came."""
    writer = published(settings, "r1", "r2", "r3")
    writer.flip("r1", expected_revision=3, is_rollback=True)
    return published(settings, "r4", revision=4)


def test_rollback_leads_to_the_release_that_was_replaced_and_not_to_the_bad_one(settings: Settings) -> None:
    check_rollback_leads_to_what_was_replaced(settings)


def check_rollback_leads_to_what_was_replaced(settings: Settings) -> None:
    writer = after_bad_releases(settings)
    assert writer.rollback_target("r4", None) == "r1"
    writer.flip("r1", expected_revision=5, is_rollback=True)
    with pytest.raises(RollbackError, match="an older release: the releases kept are r4, r3, r2"):
        writer.rollback_target("r1", None)


def test_rollback_after_rollback_leads_past_a_bad_release(settings: Settings) -> None:
    after_bad_releases(settings)
    writer = published(settings, "r5", revision=5)
    assert writer.retire_old("r5") == ["r5", "r4", "r1"]
    writer.flip("r4", expected_revision=6, is_rollback=True)
    assert writer.rollback_target("r4", None) == "r1"


def test_a_release_that_is_published_again_leads_no_rollback_in_a_circle(settings: Settings) -> None:
    published(settings, "r1", "r2", "r3")
    writer = published(settings, "r1", revision=3)
    assert [writer.rollback_target(live, None) for live in ("r1", "r3")] == ["r3", "r2"]
    with pytest.raises(RollbackError, match="cannot go back to an older release"):
        writer.rollback_target("r2", None)  # it replaced r1, which is the newest now


def test_where_nobody_noted_what_was_replaced_the_last_one_published_counts(settings: Settings) -> None:
    writer = after_bad_releases(settings)
    with open_registry(settings).begin() as connection:
        connection.execute(sa.update(RELEASES).values(replaced=None))  # as a registry of 0.1 gets the column
    assert writer.rollback_target("r4", None) == "r3"
    assert writer.retire_old("r4") == ["r4", "r3", "r2"]


def test_the_release_that_was_replaced_is_kept_even_if_it_is_old(settings: Settings) -> None:
    # Kept are r4, r1 which it replaced, and the newest other, r3.
    writer = after_bad_releases(settings)
    assert writer.retire_old("r4") == ["r4", "r1", "r3"]
    states = {entry.version: entry.state for entry in writer.entries()}
    assert states == {"r1": "retired", "r2": "dropped", "r3": "retired", "r4": "live"}


def test_a_release_that_went_live_meanwhile_is_not_dropped(settings: Settings) -> None:
    # r5 is tidying up when somebody rolls back to r1, the oldest: r1 and its collection stay.
    writer = ReleaseWriter(open_registry(settings))
    for revision, version in enumerate(("r1", "r2", "r3", "r4", "r5")):
        writer.begin(version, bundles={}, collections={"interests": f"videos_{version}"}, created_by="test")
        writer.set_state(version, VERIFIED)
        writer.flip(version, expected_revision=revision)
    writer.flip("r1", expected_revision=5, is_rollback=True)
    writer.retire_old("r5")
    assert live_version(settings) == "r1"
    assert writer.unused_collections() == ["videos_r2"]


def test_a_collection_that_a_kept_release_shares_is_in_use(settings: Settings) -> None:
    writer = ReleaseWriter(open_registry(settings))
    for version in ("old", "new"):
        writer.begin(version, bundles={}, collections={"interests": "videos_shared"}, created_by="test")
    writer.set_state("old", DROPPED)
    assert writer.unused_collections() == []
    writer.set_state("new", FAILED)
    assert writer.unused_collections() == ["videos_shared"]
