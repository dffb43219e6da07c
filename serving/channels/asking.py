"""All channels at once, until the deadline: who fails or is late is left out, and the answer says so."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from features.user_features import UserFeatures
from serving.channels import ANYTHING, Channel, Found, Scope
from serving.errors import IndexUnavailableError, ReleaseMismatchError
from serving.result import LeftOut, Stopwatch

log = structlog.get_logger(__name__)

THREADS: Final = 32
"""Per remote channel. When all hang, further requests wait in line and meet their deadline there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking."""

    found: dict[str, Found] = field(default_factory=dict)
    """By channel, those that know something of the user; in the order of the release."""
    unknowing: list[str] = field(default_factory=list)
    """Channels that know nothing of the user."""
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    """By channel."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By stage, of all channels."""


class Asker:
    """Asks the channels of one release.

    Args:
        timeout_seconds: from the moment of asking, for remote channels; the others take what they take.
    """

    def __init__(self, channels: Mapping[str, Channel], *, timeout_seconds: float) -> None:
        self.channels = channels
        self._timeout_seconds = timeout_seconds
        # Also of a channel alone: connecting and loading have deadlines of their own, which add up.
        self._pools = {
            name: ThreadPoolExecutor(THREADS, thread_name_prefix=name)
            for name, channel in channels.items()
            if channel.stage is None
        }

    def ask(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Asked:
        """What each channel finds, those in memory while the others are waited for."""
        end = time.monotonic() + self._timeout_seconds
        futures = {
            name: pool.submit(self.channels[name].find, user, limit, scope)
            for name, pool in self._pools.items()
        }
        watch = Stopwatch()
        asked = Asked(seconds=watch.seconds)
        for name, channel in self.channels.items():
            if channel.stage is not None:
                with watch.stage(channel.stage):
                    _note(asked, name, partial(channel.find, user, limit, scope))
        for name, future in futures.items():
            _note(asked, name, partial(_in_time, future, end))
        for found in asked.found.values():
            watch.add(found.seconds)
        in_order = {name: asked.found[name] for name in self.channels if name in asked.found}
        return replace(asked, found=in_order)


def _note(asked: Asked, name: str, find: Callable[[], Found | None]) -> None:
    try:
        found = find()
    except ReleaseMismatchError as error:
        asked.left_out[name] = LeftOut.MISMATCH
        log.error("parts of two releases met", channel=name, error=str(error))
    except IndexUnavailableError as error:
        asked.left_out[name] = LeftOut.FAILED
        log.warning("channel left out", channel=name, error=str(error))
    except TimeoutError:
        asked.left_out[name] = LeftOut.LATE
        log.warning("channel left out", channel=name, error="no answer in time")
    except Exception:  # a bug of one channel must not take away what the others find
        asked.left_out[name] = LeftOut.FAILED
        log.exception("channel left out", channel=name)
    else:
        if found is None:
            asked.unknowing.append(name)
        else:
            asked.found[name] = found


def _in_time(future: Future[Found | None], end: float) -> Found | None:
    try:
        return future.result(max(end - time.monotonic(), 0))
    except TimeoutError:
        future.cancel()  # if it still waits in line
        raise
