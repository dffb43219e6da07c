"""Work that answers do not wait for: a queue and one thread."""

import queue
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")
LOOK_SECONDS: Final = 0.1
"""How soon the thread notices that it is to end."""


class Background(Generic[T]):
    """Hands what is put into it to a function, several things at a time, in the order in which they came.

    Args:
        work: called by the thread with what waits; to be given up when ``is_stopping``.
        max_waiting: things that may wait; further ones are refused.
        max_together: things of one call.
        linger_seconds: how long the first thing of a call waits for company.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[T]], None],
        *,
        max_waiting: int,
        max_together: int,
        linger_seconds: float = 0.0,
    ) -> None:
        self._work = work
        self._max_together = max_together
        self._linger_seconds = linger_seconds
        self._waiting: queue.Queue[T] = queue.Queue(max_waiting)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Return when nothing waits any more, or after ``timeout_seconds``."""
        self._stopping.set()
        self._thread.join(timeout_seconds)

    def put(self, thing: T) -> bool:
        """Queue ``thing``; false if too much waits already."""
        try:
            self._waiting.put_nowait(thing)
        except queue.Full:
            return False
        return True

    def is_stopping(self, within_seconds: float) -> bool:
        """Wait for so long, or until the end is asked for, which gives true."""
        return self._stopping.wait(within_seconds)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._waiting.empty()):
            try:
                things = [self._waiting.get(timeout=LOOK_SECONDS)]
            except queue.Empty:
                continue
            self._stopping.wait(self._linger_seconds)
            while len(things) < self._max_together and not self._waiting.empty():
                things.append(self._waiting.get())
            try:
                self._work(things)
            except Exception:  # a bug with one thing must not end the work on all later ones
                log.exception("work in the background failed; it goes on", thread=self._thread.name)
