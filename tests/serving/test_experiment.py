"""Arms over HTTP: each user is answered by one release, and the answer says which arm it is."""

import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from features.experiment import running_experiment, start_experiment, stop_experiment
from features.release import open_registry
from features.settings import Settings
from serving.app import create_app
from serving.live import LiveRecaller
from serving.metrics import Metrics
from serving.publish import publish
from serving.release import ReleaseWriter
from serving.settings import ServingSettings
from tests.serving.bundles import write_interests, write_ranking
from tests.serving.users import POSITIVE, parts_of, timed, user

USERS = range(30)


@pytest.mark.server
def test_each_user_is_answered_by_the_release_of_the_own_arm(
    settings: Settings, milvus: ServingSettings
) -> None:
    first = publish(
        [write_interests(settings), write_ranking(settings, {None: [50, 40]})],
        settings=settings,
        serving_settings=milvus,
    )
    live = LiveRecaller(
        settings,
        milvus,
        metrics=(metrics := Metrics()),
        users=timed(*(user(each, [(20, POSITIVE), (10, POSITIVE)]) for each in USERS)),
    )
    client = TestClient(create_app(parts_of(settings, live, metrics)))
    second = publish([write_interests(settings, "v2")], settings=settings, serving_settings=milvus)
    registry = open_registry(settings)
    experiment = start_experiment(registry, "old-or-new", ["new:.4", f"old:.4:release={first}"])

    def answers() -> list[tuple[str, str | None]]:
        replies = [client.post("/v1/recall", json={"user_id": each, "top_n": 2}).json() for each in USERS]
        assert all(len(reply["candidates"]) == 2 for reply in replies)
        return [(reply["release"], reply["arm"]) for reply in replies]

    assert live.refresh()
    release_of = {"new": second, "old": first, None: second}
    dealt = [arm.name if (arm := experiment.arm_of(each)) else None for each in USERS]
    assert answers() == [(release_of[arm], arm) for arm in dealt]
    assert set(dealt) == {"new", "old", None}

    # A release that nobody can open stands in the way of nothing else.
    publish([write_interests(settings, "v3")], settings=settings, serving_settings=milvus)
    shutil.rmtree(settings.bundles / "tiny" / "v3")
    stop_experiment(registry)
    assert not live.refresh()
    assert answers() == [(second, None)] * len(USERS)
    assert "v3" in live.problem


@pytest.mark.server
def test_an_arm_with_another_merge_follows_the_live_release(
    settings: Settings, milvus: ServingSettings, tmp_path: Path
) -> None:
    publish([write_interests(settings)], settings=settings, serving_settings=milvus)
    shallow = tmp_path / "merge.json"
    shallow.write_text('{"depth": 2}')
    start_experiment(open_registry(settings), "depth", ["a:.5", f"b:.5:merge={shallow}"])
    live = LiveRecaller(settings, milvus, metrics=Metrics(), users=timed())
    for version in ("v2", "v3"):
        release = publish([write_interests(settings, version)], settings=settings, serving_settings=milvus)
        live.refresh()
        served = {arm: recaller.release for recaller, arm in map(live.recaller_of, USERS)}
        assert {arm: (each.version, each.merge.depth) for arm, each in served.items()} == {
            "a": (release, 500),
            "b": (release, 2),
        }


def test_a_release_on_trial_is_kept_however_many_are_published(settings: Settings) -> None:
    registry = open_registry(settings)
    writer = ReleaseWriter(registry)
    for number in range(6):
        version = f"r{number}"
        writer.begin(version, bundles={"interests": version}, collections={}, created_by="test")
        writer.set_state(version, "verified")
        writer.flip(version, expected_revision=number)
        if number == 1:
            start_experiment(registry, "x", ["a:.5", "b:.5:release=r0"])
        kept = writer.retire_old(version)
    assert kept == ["r5", "r4", "r3", "r0"]
    assert running_experiment(registry) is not None
    stop_experiment(registry)
    assert writer.retire_old("r5") == ["r5", "r4", "r3"]
