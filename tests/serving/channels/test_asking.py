"""A channel that fails or is late is left out, and nobody waits for it longer than the deadline."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from features.merge import Merged
from features.user_features import UserFeatures
from serving.channels import ANYTHING, Channel, Found, Scope
from serving.channels.asking import Asked, Asker
from serving.result import LeftOut
from tests.serving.users import Lost, user

SOMEBODY = user(1)


class Answering:
    """Finds the one video that it was made for, after a while; or knows nothing, or fails."""

    def __init__(self, video_id: int | None = None, *, after: threading.Event | None = None) -> None:
        self.stage: str | None = "memory" if after is None else None
        self._video_id = video_id
        self._after = after

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        if self._after is not None:
            self._after.wait(20)
        if self._video_id is None:
            return None
        return Found(Merged(np.array([[self._video_id]]), np.array([[1.0]]), np.array([[-1]])))

    def check(self) -> None:
        return


def ask(channels: dict[str, Channel], timeout_seconds: float = 20.0) -> Asked:
    return Asker(channels, timeout_seconds=timeout_seconds).ask(SOMEBODY, 10)


def videos(asked: Asked) -> dict[str, int]:
    return {name: int(found.lists.video_ids[0, 0]) for name, found in asked.found.items()}


def test_all_answers_are_kept_and_who_knows_nothing_is_not_left_out() -> None:
    now = threading.Event()
    now.set()
    asked = ask({"far": Answering(1, after=now), "near": Answering(2), "silent": Answering()})
    assert (videos(asked), asked.unknowing, asked.left_out) == ({"far": 1, "near": 2}, ["silent"], {})
    assert list(asked.found) == ["far", "near"], "the order of the release, not of the answers"


def test_channels_in_memory_are_timed_whatever_they_know_and_the_others_time_themselves() -> None:
    class Timed(Answering):
        def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
            found = super().find(user, limit)
            return found and replace(found, seconds={"search": 5.0})

    class Slow(Answering):
        def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
            time.sleep(0.05)
            return None

    now, slow = threading.Event(), Slow()
    now.set()
    slow.stage = "slow"
    asked = ask({"one": Timed(1, after=now), "two": Timed(2, after=now), "near": Answering(3), "slow": slow})
    assert asked.seconds.keys() == {"search", "memory", "slow"}
    assert asked.seconds["search"] == 10.0
    assert asked.seconds["slow"] >= 0.05


@pytest.mark.parametrize("channels", [["lost"], ["lost", "near"]])
def test_a_channel_that_fails_is_left_out(channels: list[str]) -> None:
    everyone: dict[str, Channel] = {"lost": Lost(), "near": Answering(2)}
    asked = ask({name: everyone[name] for name in channels})
    assert asked.left_out == {"lost": LeftOut.FAILED}
    assert videos(asked) == {name: 2 for name in channels if name == "near"}


@pytest.mark.parametrize("stage", [None, "memory"])
def test_a_bug_of_one_channel_takes_nothing_from_the_others(stage: str | None) -> None:
    class Broken(Answering):
        def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
            raise KeyError("a bug")

    broken = Broken()
    broken.stage = stage
    asked = ask({"broken": broken, "near": Answering(2)})
    assert (asked.left_out, videos(asked)) == ({"broken": LeftOut.FAILED}, {"near": 2})


def test_a_late_channel_is_left_out_at_the_deadline_of_all() -> None:
    never = threading.Event()
    started = time.monotonic()
    late: dict[str, Channel] = {f"late{each}": Answering(1, after=never) for each in range(20)}
    asked = ask({**late, "near": Answering(2)}, timeout_seconds=0.5)
    assert asked.left_out == dict.fromkeys(late, LeftOut.LATE)
    assert videos(asked) == {"near": 2}
    assert time.monotonic() - started < 5, "not half a second for each"
    never.set()


def test_remote_channels_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(2)

    class Meeting(Answering):
        def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
            together.wait(20)  # each needs the other
            return super().find(user, limit)

    now = threading.Event()
    now.set()
    asked = ask({"one": Meeting(1, after=now), "two": Meeting(2, after=now)})
    assert videos(asked) == {"one": 1, "two": 2}
