"""The pointer under competition; SQLite alone, no Milvus."""

import threading

import pytest

from features.release import current_release, open_registry
from features.settings import Settings
from serving.errors import PublishConflictError, RollbackError
from serving.release import DROPPED, FAILED, VERIFIED, ReleaseWriter


def verified(settings: Settings, *versions: str) -> ReleaseWriter:
    writer = ReleaseWriter(open_registry(settings))
    for version in versions:
        writer.begin(version, bundles={"interests": version}, collections={}, created_by="test")
        writer.set_state(version, VERIFIED)
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
    writer = verified(settings, "r1", "r2")
    writer.flip("r1", expected_revision=0)
    writer.set_state("r2", FAILED, reason="a vector was wrong")
    with pytest.raises(PublishConflictError, match="r2 is not servable"):
        writer.flip("r2", expected_revision=1)
    assert live_version(settings) == "r1"


def test_the_live_release_cannot_be_marked_as_anything_else(settings: Settings) -> None:
    writer = verified(settings, "r1")
    writer.flip("r1", expected_revision=0)
    writer.set_state("r1", FAILED)
    assert [entry.state for entry in writer.entries()] == ["live"]


def test_rollback_skips_releases_that_were_published_after_the_live_one(settings: Settings) -> None:
    writer = verified(settings, "r1", "r2", "r3")
    for revision, version in enumerate(("r1", "r2", "r3", "r2")):
        writer.flip(version, expected_revision=revision)
    assert writer.rollback_target("r2", None) == "r1"  # not r3, which was just rolled back from
    assert writer.rollback_target("r2", "r3") == "r3"
    with pytest.raises(RollbackError, match="cannot go back to r9: the releases kept are r3, r1"):
        writer.rollback_target("r2", "r9")


def test_the_release_that_was_replaced_is_kept_even_if_it_is_old(settings: Settings) -> None:
    # Back on r1 after r2, r3, r4; then r5: kept are r5, r1 which it replaced, and the newest other, r4.
    writer = verified(settings, "r1", "r2", "r3", "r4", "r5")
    for revision, version in enumerate(("r1", "r2", "r3", "r4", "r1", "r5")):
        writer.flip(version, expected_revision=revision)
    assert writer.retire_old("r5", "r1") == ["r5", "r1", "r4"]
    states = {entry.version: entry.state for entry in writer.entries()}
    assert states == {"r1": "retired", "r2": "dropped", "r3": "dropped", "r4": "retired", "r5": "live"}


def test_a_release_that_went_live_meanwhile_is_not_dropped(settings: Settings) -> None:
    # r5 is tidying up when somebody rolls back to r1, the oldest: r1 and its collection stay.
    writer = ReleaseWriter(open_registry(settings))
    for revision, version in enumerate(("r1", "r2", "r3", "r4", "r5")):
        writer.begin(version, bundles={}, collections={"interests": f"videos_{version}"}, created_by="test")
        writer.set_state(version, VERIFIED)
        writer.flip(version, expected_revision=revision)
    writer.flip("r1", expected_revision=5)
    writer.retire_old("r5", "r4")
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
