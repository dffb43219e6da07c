"""Publishing into a real Milvus Lite server: what goes live, and what survives being killed."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from features.bundle import ITEM_VECTORS, open_bundle
from features.errors import BadInputError, BundleError
from features.release import Release, current_release, open_registry
from features.settings import Settings
from serving.collection import ALIAS, FLAT_BELOW, build_collection, collection_name
from serving.errors import NoReleaseError, PublishConflictError, RollbackError, VerificationError
from serving.milvus import MilvusConnection
from serving.publish import choose_rollback, publish, release_version, rollback
from serving.recall import open_recaller
from serving.release import ReleaseWriter
from serving.settings import ServingSettings
from serving.verify import verify_collection
from tests.serving.bundles import VECTORS, VIDEO_IDS, unit_vectors, write_interests, write_ranking
from tests.serving.users import POSITIVE, timed, user

pytestmark = pytest.mark.server
REPOSITORY = Path(__file__).parents[2]
STEPS = ["begun", "built", "registered", "verified", "flipped", "finished"]


def collections(milvus: ServingSettings) -> list[str]:
    with MilvusConnection(milvus).translating("listing") as client:
        return sorted(client.list_collections())


def live(settings: Settings) -> Release:
    release = current_release(open_registry(settings))
    assert release is not None
    return release


def states(settings: Settings) -> list[str]:
    """States of all releases, the one published last first."""
    return [entry.state for entry in ReleaseWriter(open_registry(settings)).entries()]


def test_a_published_release_answers(settings: Settings, milvus: ServingSettings) -> None:
    bundles = [write_interests(settings), write_ranking(settings, {None: [50, 40]})]
    version = publish(bundles, settings=settings, serving_settings=milvus)
    assert (live(settings).version, live(settings).state, live(settings).revision) == (version, "live", 1)
    assert live(settings).bundles == {"interests": "tiny/v1", "popular": "popularity/p1"}
    assert live(settings).collections == {"interests": "videos_tiny_v1"}
    recaller = open_recaller(settings, milvus, users=timed(user(1, [(20, POSITIVE), (10, POSITIVE)])))
    found = recaller.recall(1, 3)
    assert [(c.video_id, c.interest) for c in found.candidates] == [(30, 0), (40, 1), (50, 0)]
    assert [c.video_id for c in recaller.recall(99, 3).candidates] == [50, 40, 10]
    assert (found.release, recaller.problems()) == (version, {})


def test_attributes_travel_with_the_vectors(settings: Settings, milvus: ServingSettings) -> None:
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    with MilvusConnection(milvus).translating("reading") as client:
        (row,) = client.get("videos_tiny_v1", ids=[50], output_fields=["*"])
    assert (row["uploader_id"], list(row["tag_ids"]), row["category"]) == (9, [1, 2], "any")
    # 50 days after 2026-01-01T00:00Z, in microseconds.
    assert row["published_at"] == 1_767_225_600_000_000 + 50 * 86_400_000_000
    assert (row["duration_seconds"], row["language"]) == (50.0, "")  # the language is not known


def test_publishing_the_same_bundles_again_changes_nothing(
    settings: Settings, milvus: ServingSettings
) -> None:
    bundle = write_interests(settings)
    first = publish([bundle], settings=settings, serving_settings=milvus)
    assert publish([bundle], settings=settings, serving_settings=milvus) == first
    assert (live(settings).revision, states(settings)) == (1, ["live"])
    assert collections(milvus) == ["videos_tiny_v1"]


def test_channels_that_are_not_given_stay(settings: Settings, milvus: ServingSettings) -> None:
    first = [write_interests(settings), write_ranking(settings, {None: [50]})]
    publish(first, settings=settings, serving_settings=milvus)
    publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
    assert live(settings).bundles == {"interests": "tiny/v2", "popular": "popularity/p1"}
    publish([write_ranking(settings, {None: [40]}, "p2")], settings=settings, serving_settings=milvus)
    assert live(settings).bundles == {"interests": "tiny/v2", "popular": "popularity/p2"}
    assert states(settings) == ["live", "retired", "retired"]


def test_three_releases_are_kept_and_older_collections_dropped(
    settings: Settings, milvus: ServingSettings
) -> None:
    for version in ("v1", "v2", "v3", "v4"):
        publish([write_interests(settings, version)], settings=settings, serving_settings=milvus)
    assert collections(milvus) == ["videos_tiny_v2", "videos_tiny_v3", "videos_tiny_v4"]
    assert states(settings) == ["live", "retired", "retired", "dropped"]


def test_the_alias_follows_the_live_release(settings: Settings, milvus: ServingSettings) -> None:
    for version in ("v1", "v2"):
        publish([write_interests(settings, version)], settings=settings, serving_settings=milvus)
        with MilvusConnection(milvus).translating("reading the alias") as client:
            assert client.describe_alias(ALIAS)["collection_name"] == f"videos_tiny_{version}"


def test_rollback_goes_to_the_release_before_and_no_further_than_kept(
    settings: Settings, milvus: ServingSettings
) -> None:
    versions = [
        publish([write_interests(settings, name)], settings=settings, serving_settings=milvus)
        for name in ("v1", "v2", "v3", "v4")
    ]
    assert rollback(settings=settings, serving_settings=milvus) == versions[2]
    assert (live(settings).version, live(settings).revision) == (versions[2], 5)
    assert rollback(settings=settings, serving_settings=milvus) == versions[1]
    with pytest.raises(RollbackError, match=rf"the releases kept are {versions[3]}, {versions[2]}$"):
        rollback(settings=settings, serving_settings=milvus)  # v1 is dropped
    assert rollback(versions[3], settings=settings, serving_settings=milvus) == versions[3]
    assert states(settings) == ["live", "retired", "retired", "dropped"]


def test_a_rollback_that_is_repeated_with_what_was_chosen_goes_back_no_further(
    settings: Settings, milvus: ServingSettings
) -> None:
    versions = [
        publish([write_interests(settings, name)], settings=settings, serving_settings=milvus)
        for name in ("v1", "v2", "v3")
    ]
    chosen = choose_rollback(settings=settings)
    for _ in range(2):
        assert rollback(chosen, settings=settings, serving_settings=milvus) == versions[1]
    assert (live(settings).version, live(settings).revision) == (versions[1], 4)


def test_a_dropped_release_can_be_published_again(settings: Settings, milvus: ServingSettings) -> None:
    paths = [write_interests(settings, name) for name in ("v1", "v2", "v3", "v4")]
    versions = [publish([path], settings=settings, serving_settings=milvus) for path in paths]
    assert publish([paths[0]], settings=settings, serving_settings=milvus) == versions[0]
    assert live(settings).version == versions[0]
    assert collections(milvus) == ["videos_tiny_v1", "videos_tiny_v3", "videos_tiny_v4"]


def test_rollback_before_the_first_release_says_so(settings: Settings, milvus: ServingSettings) -> None:
    with pytest.raises(NoReleaseError, match="nothing is published"):
        rollback(settings=settings, serving_settings=milvus)


def test_the_first_release_needs_interests(settings: Settings, milvus: ServingSettings) -> None:
    with pytest.raises(BadInputError, match="needs a bundle of kind 'interests'"):
        publish([write_ranking(settings, {None: [50]})], settings=settings, serving_settings=milvus)


def test_two_bundles_for_one_channel_are_refused(settings: Settings, milvus: ServingSettings) -> None:
    both = [write_interests(settings, "v1"), write_interests(settings, "v2")]
    with pytest.raises(BadInputError, match="tiny/v1 and tiny/v2 both fill channel 'interests'"):
        publish(both, settings=settings, serving_settings=milvus)


def test_a_damaged_bundle_is_refused_before_anything_is_touched(
    settings: Settings, milvus: ServingSettings
) -> None:
    bundle = write_interests(settings)
    (bundle / ITEM_VECTORS).write_bytes(b"cut off")
    with pytest.raises(BundleError, match="SHA-256"):
        publish([bundle], settings=settings, serving_settings=milvus)
    assert (states(settings), collections(milvus)) == ([], [])


class Killed(BaseException):
    """Stands for a kill at a step: nothing in the code may catch it."""


def die_at(step: str) -> Callable[[str], None]:
    def on_step(done: str) -> None:
        if done == step:
            raise Killed

    return on_step


@pytest.mark.parametrize("step", STEPS)
def test_stopped_after_any_step_a_release_is_live_and_a_second_run_finishes(
    settings: Settings, milvus: ServingSettings, step: str
) -> None:
    old = publish([write_interests(settings, "v1")], settings=settings, serving_settings=milvus)
    bundle = write_interests(settings, "v2")
    with pytest.raises(Killed):
        publish([bundle], settings=settings, serving_settings=milvus, on_step=die_at(step))
    new = release_version({"interests": "tiny/v2"})
    assert live(settings).version == (new if step in ("flipped", "finished") else old)
    assert publish([bundle], settings=settings, serving_settings=milvus) == new
    assert (live(settings).version, states(settings)) == (new, ["live", "retired"])
    assert collections(milvus) == ["videos_tiny_v1", "videos_tiny_v2"]


def test_stopped_after_the_flip_the_release_that_was_replaced_is_kept_as_if_undisturbed(
    settings: Settings, milvus: ServingSettings
) -> None:
    paths = [write_interests(settings, name) for name in ("v1", "v2", "v3", "v4")]
    good, *_ = (publish([path], settings=settings, serving_settings=milvus) for path in paths[:3])
    rollback(good, settings=settings, serving_settings=milvus)
    with pytest.raises(Killed):
        publish([paths[3]], settings=settings, serving_settings=milvus, on_step=die_at("flipped"))
    publish([paths[3]], settings=settings, serving_settings=milvus)
    assert states(settings) == ["live", "retired", "dropped", "retired"]
    assert collections(milvus) == ["videos_tiny_v1", "videos_tiny_v3", "videos_tiny_v4"]
    assert rollback(settings=settings, serving_settings=milvus) == good


@pytest.mark.parametrize("rows", [slice(0, 2), slice(None, None, -1)], ids=["half of it", "other vectors"])
def test_a_collection_that_no_release_vouches_for_is_built_again(
    settings: Settings, milvus: ServingSettings, rows: slice
) -> None:
    elsewhere = Settings(home=settings.root / "elsewhere")
    count = len(VECTORS[rows])
    left_over = write_interests(elsewhere, video_ids=VIDEO_IDS[:count], vectors=VECTORS[rows].copy())
    build_collection(MilvusConnection(milvus), open_bundle(left_over), timeout_seconds=60.0)
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    recaller = open_recaller(settings, milvus, users=timed(user(1, [(10, POSITIVE)], seen=[])))
    assert [c.video_id for c in recaller.recall(1, 3).candidates] == [10, 30, 50]


def test_an_abandoned_release_leaves_no_collection(settings: Settings, milvus: ServingSettings) -> None:
    publish([write_interests(settings, "v1")], settings=settings, serving_settings=milvus)
    abandoned = write_interests(settings, "v2")
    with pytest.raises(Killed):
        publish([abandoned], settings=settings, serving_settings=milvus, on_step=die_at("built"))
    publish([write_interests(settings, "v3")], settings=settings, serving_settings=milvus)
    assert collections(milvus) == ["videos_tiny_v1", "videos_tiny_v3"]
    assert states(settings) == ["live", "dropped", "retired"]


PUBLISHER = """
import os, signal, sys
from pathlib import Path
from features.settings import Settings
from serving.publish import publish
from serving.settings import ServingSettings
home, uri, step, bundle = sys.argv[1:]
kill = lambda done: os.kill(os.getpid(), signal.SIGKILL) if done == step else None
publish([Path(bundle)], settings=Settings(home=Path(home)),
        serving_settings=ServingSettings(milvus_uri=uri), on_step=kill)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_sigkill_after_any_step_leaves_no_lock_and_a_second_run_finishes(
    settings: Settings, milvus: ServingSettings, step: str
) -> None:
    old = publish([write_interests(settings, "v1")], settings=settings, serving_settings=milvus)
    bundle = write_interests(settings, "v2")
    arguments = [str(settings.root), milvus.milvus_uri, step, str(bundle)]
    killed = subprocess.run([sys.executable, "-c", PUBLISHER, *arguments], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    new = release_version({"interests": "tiny/v2"})
    assert live(settings).version == (new if step in ("flipped", "finished") else old)
    assert publish([bundle], settings=settings, serving_settings=milvus) == new
    assert states(settings) == ["live", "retired"]


def test_of_two_publishers_in_one_home_the_second_is_told_to_wait(
    settings: Settings, milvus: ServingSettings
) -> None:
    refused = []

    def publish_another(step: str) -> None:
        if step == "begun":
            other = write_interests(settings, "v2")
            with pytest.raises(PublishConflictError, match="another publish is running") as error:
                publish([other], settings=settings, serving_settings=milvus)
            refused.append(error)

    first = write_interests(settings, "v1")
    publish([first], settings=settings, serving_settings=milvus, on_step=publish_another)
    assert (len(refused), live(settings).bundles) == (1, {"interests": "tiny/v1"})


def test_a_rollback_during_a_publish_wins_and_the_publish_says_so(
    settings: Settings, milvus: ServingSettings
) -> None:
    paths = [write_interests(settings, name) for name in ("v1", "v2", "v3")]
    first, _ = (publish([path], settings=settings, serving_settings=milvus) for path in paths[:2])

    def roll_back(step: str) -> None:
        if step == "verified":
            rollback(settings=settings, serving_settings=milvus)

    with pytest.raises(PublishConflictError, match="moved on from revision 2; nothing was changed"):
        publish([paths[2]], settings=settings, serving_settings=milvus, on_step=roll_back)
    assert live(settings).version == first
    publish([paths[2]], settings=settings, serving_settings=milvus)
    assert live(settings).bundles == {"interests": "tiny/v3"}


def test_a_failed_verification_marks_the_release_and_leaves_the_live_one(
    settings: Settings, milvus: ServingSettings
) -> None:
    old = publish([write_interests(settings, "v1")], settings=settings, serving_settings=milvus)
    bundle = write_interests(settings, "v2")

    def lose_a_row(step: str) -> None:
        if step == "built":
            with MilvusConnection(milvus).translating("damaging") as client:
                client.delete("videos_tiny_v2", ids=[30])

    with pytest.raises(VerificationError, match="has 4 rows, its bundle 5"):
        publish([bundle], settings=settings, serving_settings=milvus, on_step=lose_a_row)
    assert (live(settings).version, states(settings)) == (old, ["failed", "live"])
    publish([bundle], settings=settings, serving_settings=milvus)
    assert states(settings) == ["live", "retired"]


def test_a_kept_release_survives_that_it_is_published_again_in_vain(
    settings: Settings, milvus: ServingSettings
) -> None:
    paths = [write_interests(settings, name) for name in ("v1", "v2")]
    old, new = (publish([path], settings=settings, serving_settings=milvus) for path in paths)
    too_slow = milvus.model_copy(update={"publish_max_search_ms": 1e-6})
    with pytest.raises(VerificationError, match="publish again when Milvus is less busy"):
        publish([paths[0]], settings=settings, serving_settings=too_slow)
    with pytest.raises(Killed):
        publish([paths[0]], settings=settings, serving_settings=milvus, on_step=die_at("built"))
    assert (live(settings).version, states(settings)) == (new, ["live", "retired"])
    assert choose_rollback(settings=settings) == old
    with capture_logs() as logs:
        publish([paths[0]], settings=settings, serving_settings=milvus)
    upserted = [line["upserted"] for line in logs if line["event"] == "collection filled"]
    assert upserted == [0]  # not built again: an arm may search it
    assert live(settings).version == old
    assert rollback(settings=settings, serving_settings=milvus) == new


def test_a_wrong_vector_fails_verification(settings: Settings, milvus: ServingSettings) -> None:
    connection = MilvusConnection(milvus)
    bundle = open_bundle(write_interests(settings, "v1"))
    build_collection(connection, bundle, timeout_seconds=60.0)
    other = write_interests(Settings(home=settings.root / "other"), "v1", vectors=VECTORS[::-1].copy())
    name = collection_name(bundle.manifest)
    with pytest.raises(VerificationError, match="does not hold the bundle's vector of video"):
        verify_collection(connection, name, open_bundle(other), timeout_seconds=60.0)


def test_a_live_release_whose_collection_was_lost_is_healed(
    settings: Settings, milvus: ServingSettings
) -> None:
    bundle = write_interests(settings)
    version = publish([bundle], settings=settings, serving_settings=milvus)
    with MilvusConnection(milvus).translating("losing") as client:
        client.drop_alias(ALIAS)
        client.drop_collection("videos_tiny_v1")
    assert publish([bundle], settings=settings, serving_settings=milvus) == version
    assert (collections(milvus), live(settings).revision) == (["videos_tiny_v1"], 1)


@pytest.mark.slow
def test_a_large_catalogue_gets_an_hnsw_index_and_passes_verification(
    settings: Settings, milvus: ServingSettings
) -> None:
    vectors = unit_vectors(FLAT_BELOW, 8)
    bundle = write_interests(settings, video_ids=np.arange(FLAT_BELOW), vectors=vectors)
    publish([bundle], settings=settings, serving_settings=milvus)
    with MilvusConnection(milvus).translating("describing") as client:
        assert client.describe_index("videos_tiny_v1", "vector")["index_type"] == "HNSW"
    recaller = open_recaller(settings, milvus, users=timed(user(1, [(0, POSITIVE)])))
    scores = vectors[1:] @ vectors[0]  # video 0 is the history, so it is seen
    found = recaller.recall(1, 20).candidates
    assert [c.score for c in found] == pytest.approx(np.sort(scores)[::-1][:20], abs=1e-5)


def test_names_of_models_and_versions_become_letters_that_milvus_allows(settings: Settings) -> None:
    manifest = open_bundle(write_interests(settings, "20260131T120000-123456")).manifest
    assert collection_name(manifest) == "videos_tiny_20260131T120000_123456"
