"""While the live release changes, every answer is whole and of one release."""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from benchmarks.flip import flips_under_load
from benchmarks.two_releases import EVEN, ODD, push_users, served, write_bundle
from features.bundle import Bundle, open_bundle
from features.live_items import IndexedVideos
from features.release import current_release, open_registry
from features.settings import Settings
from features.user_features import NO_VIEWS, UserFeatures
from serving.app import create_app
from serving.catalogue import Catalogue
from serving.collection import build_collection
from serving.live import OPEN_AGAIN_SECONDS, LiveRecaller
from serving.lookup import TimedLookup
from serving.metrics import Metrics
from serving.milvus import MilvusConnection
from serving.publish import publish, rollback
from serving.settings import ServingSettings
from serving.standalone import free_ports
from tests.serving.bundles import VECTORS, write_interests
from tests.serving.users import POSITIVE, UsersInMemory, parts_of, user

pytestmark = pytest.mark.server
PARTS = (Bundle, IndexedVideos, Catalogue)


class Watched(UsersInMemory):
    """Calls ``on_lookup`` with each user that is looked up."""

    def __init__(self, on_lookup: Callable[[int], None]) -> None:
        super().__init__({each: user(each, [(10, POSITIVE)]) for each in range(1, 9)})
        self._on_lookup = on_lookup

    def lookup(
        self, user_id: int, bundle: str | None = None, without: frozenset[str] = NO_VIEWS
    ) -> UserFeatures | None:
        self._on_lookup(user_id)
        return super().lookup(user_id, bundle, without)


def following(
    settings: Settings,
    milvus: ServingSettings,
    on_lookup: Callable[[int], None] = lambda user_id: None,
    *,
    open_again_seconds: float = OPEN_AGAIN_SECONDS,
) -> LiveRecaller:
    users = TimedLookup(Watched(on_lookup), timeout_seconds=20.0)
    return LiveRecaller(
        settings, milvus, metrics=Metrics(), users=users, open_again_seconds=open_again_seconds
    )


@contextmanager
def frozen_heap() -> Iterator[None]:
    """The collector at rest over what is there, as ``serve`` leaves it when it is ready."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_release_answers_the_users_of_the_last_requests_before_it_is_live(
    settings: Settings, milvus: ServingSettings
) -> None:
    looked_up: list[tuple[int, str]] = []
    live = following(settings, milvus, lambda user_id: looked_up.append((user_id, answering())))

    def answering() -> str:
        return live.recaller.release.version if live.indexes() else "nothing"

    first = publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    assert live.refresh()
    for user_id in (3, 5, 3):
        live.recaller_of(user_id)
    second = publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
    looked_up.clear()
    assert live.refresh()
    # 0 is the look-up of opening; then the newest first, each once, while the old release answers.
    assert looked_up == [(0, first), (3, first), (5, first)]
    assert live.recaller.release.version == second


def test_a_release_whose_index_holds_another_one_is_not_picked_up(
    settings: Settings, milvus: ServingSettings
) -> None:
    live = following(settings, milvus)
    first = publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    live.refresh()
    live.recaller_of(1)
    second = publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
    elsewhere = Settings(home=settings.root / "elsewhere")
    other = open_bundle(write_interests(elsewhere, "v2", vectors=VECTORS[:, ::-1].copy()))
    build_collection(MilvusConnection(milvus), other, timeout_seconds=60.0)
    assert not live.refresh()
    assert live.recaller.recall(1, 3).release == first
    own = open_bundle(settings.bundles / "tiny" / "v2")
    build_collection(MilvusConnection(milvus), own, timeout_seconds=60.0)
    assert live.refresh()
    assert live.recaller.recall(1, 3).release == second


@pytest.mark.parametrize(("seconds", "is_open"), [(0.0, True), (3600.0, False)])
def test_a_damaged_release_is_read_again_now_and_then_and_never_stands_in_the_way_of_the_next(
    settings: Settings, milvus: ServingSettings, seconds: float, is_open: bool
) -> None:
    live = following(settings, milvus, open_again_seconds=seconds)
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    live.refresh()
    publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
    manifest = settings.bundles / "tiny/v2/manifest.json"
    whole = manifest.read_bytes()
    manifest.write_text("{}")
    assert not live.refresh()
    manifest.write_bytes(whole)
    assert live.refresh() is is_open
    assert ("manifest.json" in live.problem) is not is_open
    rollback(settings=settings, serving_settings=milvus)
    live.refresh()
    assert (live.recaller.release.bundles["interests"], live.problem) == ("tiny/v1", "")


def test_a_request_ends_with_the_release_that_it_began_with_which_then_goes(
    settings: Settings, milvus: ServingSettings
) -> None:
    live = following(settings, milvus)
    first = publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    live.refresh()
    begun, _ = live.recaller_of(1)
    for version in ("v2", "v3"):  # its collection stays for two more
        publish([write_interests(settings, version)], settings=settings, serving_settings=milvus)
        live.refresh()
    result = begun.recall(1, 3)
    assert (result.release, result.reason) == (first, None)
    gone = weakref.ref(begun)
    del begun
    gc.collect()
    assert gone() is None


def test_nothing_of_a_replaced_release_waits_for_the_collector_which_leaves_alone_what_it_froze(
    settings: Settings, milvus: ServingSettings
) -> None:
    live = following(settings, milvus)
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    live.refresh()
    for user_id in (1, 2):
        live.recaller_of(user_id)[0].recall(user_id, 3, explain=True)
    live.recaller.similar(10, 3)
    assert [index.recall_of_newest() for index in live.indexes().values()] == [1.0]
    with frozen_heap():
        publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
        live.refresh()
    there = {(type(each), each.manifest.version) for each in gc.get_objects() if type(each) in PARTS}
    assert there == {(part, "v2") for part in PARTS}


def test_a_batch_is_answered_by_one_release_also_when_another_goes_live_in_between(
    settings: Settings, milvus: ServingSettings
) -> None:
    versions = iter(["v2"])

    def flip(user_id: int) -> None:
        if user_id and (version := next(versions, None)):
            publish([write_interests(settings, version)], settings=settings, serving_settings=milvus)
            assert live.refresh()

    live = following(settings, milvus, flip)
    first = publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    live.refresh()
    client = TestClient(create_app(parts_of(settings, live, Metrics())))
    answers = client.post("/v1/recall:batch", json={"user_ids": [1, 1], "top_n": 3}).json()["answers"]
    assert [answer["release"] for answer in answers] == [first, first]
    assert client.get("/v1/release").json()["version"] != first


@pytest.mark.slow
def test_two_processes_under_load_flip_and_go_back_without_an_error_or_a_mixed_answer(
    tmp_path: Path, milvus: ServingSettings
) -> None:
    settings = Settings(home=tmp_path)
    push_users(settings)
    even, odd = (
        publish([write_bundle(settings, name)], settings=settings, serving_settings=milvus)
        for name in (EVEN, ODD)
    )
    changes = [
        lambda: rollback(settings=settings, serving_settings=milvus),
        lambda: rollback(odd, settings=settings, serving_settings=milvus),
    ]
    environment = {
        "FACET_MILVUS_URI": milvus.milvus_uri,
        "FACET_RELEASE_POLL_SECONDS": "0.5",
        "FACET_FEATURES_TIMEOUT_MS": str(milvus.features_timeout_ms),
        "FACET_SEARCH_TIMEOUT_MS": str(milvus.search_timeout_ms),
    }
    with served(settings, environment, free_ports(2)) as urls:
        report = flips_under_load(urls, changes, seconds=6, num_clients=4)
    assert report["requests"] > 8
    assert (report["errors"], report["mixed"], report["mismatches"], report["reasons"]) == (0, 0, 0, {})
    for releases in report["releases"].values():
        assert (releases[0], releases[-1], set(releases)) == (odd, odd, {even, odd})
    live = current_release(open_registry(settings))
    assert live is not None
    assert live.version == odd
