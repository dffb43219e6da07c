"""Who gets which arm, and what an experiment may be."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from features.errors import BadInputError
from features.experiment import (
    Arm,
    Experiment,
    running_experiment,
    start_experiment,
    stop_experiment,
)
from features.merge_config import MergeConfig
from features.release import POINTER, RELEASES, open_registry
from features.settings import Settings

HALVES = ["a:.5", "b:.5"]


@pytest.fixture
def registry(tmp_path: Path) -> sa.Engine:
    return open_registry(Settings(home=tmp_path))


def experiment(*arms: tuple[str, float], salt: str = "") -> Experiment:
    return Experiment(name="x", arms=tuple(Arm(name=name, share=share) for name, share in arms), salt=salt)


def dealt(trial: Experiment) -> list[str | None]:
    return [arm.name if (arm := trial.arm_of(user)) else None for user in range(20_000)]


def test_users_are_dealt_by_the_shares_and_stay_where_they_are() -> None:
    first = dealt(experiment(("a", 0.2), ("b", 0.3)))
    counts = Counter(first)
    assert counts["a"] == pytest.approx(4_000, abs=250)  # 4 standard deviations
    assert counts["b"] == pytest.approx(6_000, abs=260)
    assert counts[None] == pytest.approx(10_000, abs=290)
    assert dealt(experiment(("a", 0.2), ("b", 0.3))) == first


def test_another_salt_deals_anew() -> None:
    """Of those in arm a, half are there again by chance."""
    one, two = (dealt(experiment(("a", 0.5), ("b", 0.5), salt=salt)) for salt in ("1", "2"))
    again = sum(x == y for x, y in zip(one, two, strict=True))
    assert again == pytest.approx(10_000, abs=290)


def test_a_larger_share_keeps_the_users_that_were_there() -> None:
    small, large = (dealt(experiment(("a", share), ("b", 0.1))) for share in (0.1, 0.3))
    assert {user for user, arm in enumerate(small) if arm == "a"} < {
        user for user, arm in enumerate(large) if arm == "a"
    }


def test_an_arm_whose_merge_does_not_fit_the_live_release_is_refused(
    registry: sa.Engine, tmp_path: Path
) -> None:
    row = {"version": "v1", "state": "live", "collections": {}, "created_by": "test"}
    with registry.begin() as connection:
        moment = {"created_at": datetime(2026, 3, 1, tzinfo=UTC)}
        connection.execute(sa.insert(RELEASES), row | moment | {"bundles": {"interests": "tiny/v1"}})
        connection.execute(sa.insert(POINTER), {"id": 1, "version": "v1", "revision": 1})
    file = tmp_path / "merge.json"
    file.write_text(MergeConfig(weights={"interests": 0.5, "ease": 0.5}).model_dump_json())
    with pytest.raises(BadInputError, match="no bundle fills ease"):
        start_experiment(registry, "x", ["a:.5", f"b:.5:merge={file}"])
    assert running_experiment(registry) is None


def test_one_experiment_runs_at_a_time_and_a_name_is_used_once(registry: sa.Engine) -> None:
    assert running_experiment(registry) is None
    started = start_experiment(registry, "first", HALVES)
    assert running_experiment(registry) == started
    with pytest.raises(BadInputError, match="first is running; end it"):
        start_experiment(registry, "second", HALVES)
    assert stop_experiment(registry) == "first"
    assert running_experiment(registry) is None
    with pytest.raises(BadInputError, match="no experiment is running"):
        stop_experiment(registry)
    with pytest.raises(BadInputError, match="choose another name"):
        start_experiment(registry, "first", HALVES)


def check_one_of_two_that_start_together_runs(engine: sa.Engine) -> None:
    """Five times, since they may also come one after the other."""

    def starts(name: str) -> bool:
        together.wait(timeout=60)
        try:
            start_experiment(engine, name, HALVES)
        except BadInputError:
            return False
        return True

    for number in range(5):
        together = Barrier(2)
        names = [f"a{number}", f"b{number}"]
        with ThreadPoolExecutor(2) as threads:
            started = list(threads.map(starts, names))
        assert sorted(started) == [False, True]
        assert stop_experiment(engine) == names[started.index(True)]


def test_one_of_two_that_start_together_runs(registry: sa.Engine) -> None:
    check_one_of_two_that_start_together_runs(registry)


@pytest.mark.parametrize(
    ("arms", "why"),
    [
        (["a:1"], "at least 2"),
        (["a:.5", "a:.5"], "two arms have one name"),
        (["a:.6", "b:.6"], "add up to 1.2"),
        (["a:0", "b:.5"], "greater than 0"),
        (["a:.5", "b"], "share"),
        (["a:.5", "b:.5:model=x"], "is no arm"),
        (["a:.5", "b:.5:release="], "is no arm"),
        (["a:.5", "b:.5:release=v9"], "release v9 is not kept; there are v1"),
        (["a:.5", "b:.5:merge=nowhere.json"], "is no merge configuration"),
    ],
)
def test_what_is_no_experiment_is_refused(registry: sa.Engine, arms: list[str], why: str) -> None:
    row = {"version": "v1", "state": "live", "bundles": {}, "collections": {}, "created_by": "test"}
    with registry.begin() as connection:
        connection.execute(sa.insert(RELEASES), row | {"created_at": datetime(2026, 3, 1, tzinfo=UTC)})
    with pytest.raises(BadInputError, match=why):
        start_experiment(registry, "x", arms)
    assert running_experiment(registry) is None
