"""A release of several channels: its collections, its merge, its bundles in the feature store."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from features.bundle import Bundle
from features.errors import BadInputError, StoreUnavailableError
from features.merge_config import DEFAULT_MERGE, MergeConfig
from features.release import Release, current_release, open_registry
from features.settings import Settings
from serving.errors import RollbackError, VerificationError
from serving.milvus import MilvusConnection
from serving.publish import publish, release_version, rollback
from serving.recall import open_recaller
from serving.release import ReleaseWriter
from serving.settings import ServingSettings
from tests.serving.bundles import write_interests, write_neighbours, write_ranking, write_stored
from tests.serving.users import POSITIVE, timed, user

pytestmark = pytest.mark.server
MERGE = MergeConfig(weights={"interests": 0.5, "cooc": 0.3, "clusters": 0.2}, fusion="geometric", depth=50)


class Registered:
    """A feature store that remembers for whom look-ups can be made; it may be away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.bundles: list[str] = []
        self.is_away = is_away

    def register_bundle(self, bundle: Bundle) -> None:
        if self.is_away:
            raise StoreUnavailableError("the store is down; start it")
        if bundle.name not in self.bundles:
            self.bundles.append(bundle.name)

    def registered_bundles(self) -> list[str]:
        return sorted(self.bundles)

    def remove_bundle(self, bundle: str) -> None:
        self.bundles.remove(bundle)


class Publisher:
    """Publishes into one home with one feature store."""

    def __init__(self, settings: Settings, milvus: ServingSettings) -> None:
        self.settings, self.milvus = settings, milvus
        self.store = Registered()
        self.on_step = lambda step: None

    def publish(self, *bundles: Path | str, merge: MergeConfig | None = None) -> str:
        return publish(
            bundles,
            settings=self.settings,
            merge=merge,
            serving_settings=self.milvus,
            store=self.store,
            on_step=self.on_step,
        )

    def everything(self, version: str = "v1") -> Sequence[Path]:
        """A bundle of each kind."""
        return (
            write_interests(self.settings, version),
            write_neighbours(self.settings, {(10, 50): 0.5}, version=version),
            write_stored(self.settings, {1: [[1.0, 0.0]]}, version=version),
            write_ranking(self.settings, {None: [50, 40]}, version),
        )

    @property
    def live(self) -> Release:
        release = current_release(open_registry(self.settings))
        assert release is not None
        return release

    @property
    def states(self) -> list[str]:
        return [entry.state for entry in ReleaseWriter(open_registry(self.settings)).entries()]

    @property
    def collections(self) -> list[str]:
        with MilvusConnection(self.milvus).translating("listing") as client:
            return sorted(client.list_collections())


@pytest.fixture
def publisher(settings: Settings, milvus: ServingSettings) -> Publisher:
    return Publisher(settings, milvus)


def test_every_channel_with_vectors_has_its_collection_and_the_merge_is_kept(publisher: Publisher) -> None:
    version = publisher.publish(*publisher.everything(), merge=MERGE)
    assert publisher.live.bundles == {
        "interests": "tiny/v1",
        "cooc": "cooc/v1",
        "clusters": "clusters/v1",
        "popular": "popularity/v1",
    }
    assert publisher.live.collections == {"interests": "videos_tiny_v1", "clusters": "videos_clusters_v1"}
    assert publisher.collections == ["videos_clusters_v1", "videos_tiny_v1"]
    assert (publisher.live.merge, publisher.live.version) == (MERGE, version)
    assert publisher.store.registered_bundles() == ["clusters/v1", "cooc/v1", "popularity/v1", "tiny/v1"]
    recaller = open_recaller(
        publisher.settings, publisher.milvus, users=timed(user(1, [(20, POSITIVE), (10, POSITIVE)]))
    )
    found_by = {origin.channel for c in recaller.recall(1, 3).candidates for origin in c.channels}
    assert (found_by, recaller.problems()) == ({"interests", "cooc", "clusters"}, {})


def test_other_weights_are_another_release_on_the_same_collections(publisher: Publisher) -> None:
    first = publisher.publish(*publisher.everything(), merge=MERGE)
    other = MERGE.model_copy(update={"depth": 100})
    second = publisher.publish(write_path(publisher), merge=other)
    assert second == release_version(publisher.live.bundles, other) != first
    assert (publisher.live.merge, publisher.live.collections["clusters"]) == (other, "videos_clusters_v1")
    assert rollback(settings=publisher.settings, serving_settings=publisher.milvus) == first
    assert publisher.live.merge == MERGE


def write_path(publisher: Publisher) -> Path:
    return publisher.settings.bundles / "tiny" / "v1"


def test_a_new_bundle_of_one_channel_keeps_the_others_and_the_merge(publisher: Publisher) -> None:
    publisher.publish(*publisher.everything(), merge=MERGE)
    publisher.publish(write_neighbours(publisher.settings, {(10, 40): 0.5}, version="v2"))
    assert publisher.live.bundles["cooc"] == "cooc/v2"
    assert publisher.live.bundles["clusters"] == "clusters/v1"
    assert publisher.live.merge == MERGE


def test_weights_decide_which_channels_are_taken_over(publisher: Publisher) -> None:
    publisher.publish(*publisher.everything(), merge=MERGE)
    publisher.publish(write_path(publisher), merge=MergeConfig(weights={"interests": 0.6, "cooc": 0.4}))
    assert sorted(publisher.live.bundles) == ["cooc", "interests", "popular"]


def test_weights_that_do_not_fit_are_refused_before_anything_is_touched(publisher: Publisher) -> None:
    bundles = publisher.everything()
    with pytest.raises(BadInputError, match="no bundle fills ease"):
        publisher.publish(*bundles, merge=MergeConfig(weights={"interests": 0.6, "ease": 0.4}))
    assert (publisher.states, publisher.collections) == ([], [])


def test_two_bundles_of_one_model_are_two_channels_if_they_are_named(publisher: Publisher) -> None:
    first, second = (
        write_neighbours(publisher.settings, {(10, 40): 0.5}, version=version) for version in ("n1", "n2")
    )
    with pytest.raises(BadInputError, match="cooc/n1 and cooc/n2 both fill channel 'cooc'"):
        publisher.publish(write_interests(publisher.settings), first, second)
    publisher.publish(write_path(publisher), first, f"older={second}")
    assert publisher.live.bundles == {"interests": "tiny/v1", "cooc": "cooc/n1", "older": "cooc/n2"}
    assert publisher.live.merge == DEFAULT_MERGE


class Killed(BaseException):
    """Stands for a kill at a step: nothing in the code may catch it."""


@pytest.mark.parametrize("nth", range(1, 7), ids=lambda nth: f"step {nth}")
def test_stopped_after_any_step_a_second_run_finishes_all_collections(publisher: Publisher, nth: int) -> None:
    old = publisher.publish(*publisher.everything(), merge=MERGE)
    steps: list[str] = []

    def die(step: str) -> None:
        steps.append(step)
        if len(steps) == nth:
            raise Killed

    publisher.on_step = die
    with pytest.raises(Killed):
        publisher.publish(*publisher.everything("v2"))
    assert steps == ["begun", "built", "built", "registered", "verified", "flipped"][:nth]
    publisher.on_step = lambda step: None
    assert (publisher.live.version == old) == (nth < 6)
    publisher.publish(*(publisher.settings.bundles / name for name in ("tiny/v2", "cooc/v2", "clusters/v2",
                                                                      "popularity/v2")))  # fmt: skip
    assert (publisher.states, publisher.live.merge) == (["live", "retired"], MERGE)
    assert publisher.live.bundles["clusters"] == "clusters/v2"
    assert publisher.collections == [
        "videos_clusters_v1", "videos_clusters_v2", "videos_tiny_v1", "videos_tiny_v2"
    ]  # fmt: skip


def test_a_wrong_row_in_any_collection_fails_the_release(publisher: Publisher) -> None:
    def lose_a_row(step: str) -> None:
        if step == "built" and "videos_clusters_v1" in publisher.collections:
            with MilvusConnection(publisher.milvus).translating("damaging") as client:
                client.delete("videos_clusters_v1", ids=[30])

    publisher.on_step = lose_a_row
    with pytest.raises(VerificationError, match="'videos_clusters_v1' has 4 rows, its bundle 5"):
        publisher.publish(*publisher.everything(), merge=MERGE)
    assert publisher.states == ["failed"]


def test_nothing_goes_live_that_look_ups_do_not_know(publisher: Publisher) -> None:
    publisher.store.is_away = True
    with pytest.raises(StoreUnavailableError):
        publisher.publish(*publisher.everything(), merge=MERGE)
    assert (publisher.states, current_release(open_registry(publisher.settings))) == (["building"], None)
    publisher.store.is_away = False
    publisher.publish(*(publisher.settings.bundles / name for name in ("tiny/v1", "cooc/v1", "clusters/v1")),
                      merge=MERGE)  # fmt: skip
    assert publisher.live.state == "live"


def test_rollback_needs_every_collection_of_the_release(publisher: Publisher) -> None:
    publisher.publish(*publisher.everything(), merge=MERGE)
    publisher.publish(*publisher.everything("v2"))
    with MilvusConnection(publisher.milvus).translating("losing") as client:
        client.drop_collection("videos_clusters_v1")
    with pytest.raises(RollbackError, match="lost collection 'videos_clusters_v1'"):
        rollback(settings=publisher.settings, serving_settings=publisher.milvus)
    assert publisher.live.bundles["interests"] == "tiny/v2"


def test_what_no_kept_release_names_is_dropped_and_forgotten(publisher: Publisher) -> None:
    for version in ("v1", "v2", "v3", "v4"):
        publisher.publish(*publisher.everything(version), merge=MERGE)
    assert publisher.states == ["live", "retired", "retired", "dropped"]
    assert {name.rsplit("_", 1)[1] for name in publisher.collections} == {"v2", "v3", "v4"}
    assert {name.split("/")[1] for name in publisher.store.bundles} == {"v2", "v3", "v4"}
