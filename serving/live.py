"""The recaller of the release that is live, and those of the arms of an experiment: follows the pointer and
swaps one reference.

The new release is opened beside the old one and answers the users of the last requests, unseen, before the
reference is swapped: so it is warm, and one whose parts do not belong together never answers. A request takes
the reference once, so it is answered by one release from beginning to end; the old one goes when its last
request is done.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from features.errors import BundleError, FacetError
from features.experiment import Arm, Experiment, running_experiment
from features.overlay import overlay_stamps
from features.release import Release, current_release, find_release, open_registry
from features.settings import Settings
from serving.errors import NoReleaseError, ReleaseMismatchError
from serving.index_checks import WatchedIndex
from serving.lookup import TimedLookup, open_lookup
from serving.metrics import Metrics
from serving.milvus import MilvusConnection
from serving.recall import Hidden, Recaller, open_recaller
from serving.release import SERVABLE, UNSERVABLE, Entry, ReleaseWriter
from serving.result import LeftOut
from serving.settings import ServingSettings

log = structlog.get_logger(__name__)

REPLAYED_USERS: Final = 64
REPLAY_SECONDS: Final = 2.0
"""Longest warm-up: a flip should reach all processes within seconds, whatever the index is busy with."""
OPEN_AGAIN_SECONDS: Final = 30.0
"""A damaged release is read again after this: its sums are a second of CPU at a million videos."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An experiment and what answers its arms; ``None`` is whatever is live."""

    experiment: Experiment | None
    live: Release | None
    """What was live when the recallers were opened: merges of arms are merges of it."""
    recallers: dict[str, Recaller | None]

    def choose(self, user_id: int, live: Recaller) -> tuple[Recaller, str | None]:
        """What answers a user, and the name of the arm."""
        arm = self.experiment.arm_of(user_id) if self.experiment else None
        if arm is None or arm.name not in self.recallers:
            return live, None
        return self.recallers[arm.name] or live, arm.name


class LiveRecaller:
    """Hands out the current ``Recaller``; ``refresh`` picks up another release.

    Args:
        users: where histories come from; by default the feature store of this home, opened when needed.
        hidden: see ``Recaller``; by default the list of offline videos is read for every request.
        open_again_seconds: how long a release that is damaged is left alone.
    """

    def __init__(
        self,
        settings: Settings,
        serving_settings: ServingSettings,
        *,
        metrics: Metrics,
        users: TimedLookup | None = None,
        hidden: Hidden | None = None,
        open_again_seconds: float = OPEN_AGAIN_SECONDS,
    ) -> None:
        self._settings = settings
        self._serving_settings = serving_settings
        self._metrics = metrics
        self._given_users = users
        self._hidden = hidden
        self._connection = MilvusConnection(serving_settings)
        self._recaller: Recaller | None = None
        self._trial = Trial(None, None, {})
        self._asked_lately: deque[int] = deque(maxlen=REPLAYED_USERS)
        self._refreshing = threading.Lock()
        self._compared: Recaller | None = None
        self._comparing = threading.Lock()
        self._problem = "the release pointer was not read yet"
        self._open_again_seconds = open_again_seconds
        self._damaged: dict[str, tuple[float, str]] = {}
        """By version: when it is looked at again, and what is wrong."""

    @property
    def recaller(self) -> Recaller:
        """What answers now.

        Raises:
            NoReleaseError: no release could be opened yet; the text says why.
        """
        if (recaller := self._recaller) is None:
            raise NoReleaseError(self._problem)
        return recaller

    def recallers_of(self, user_ids: Sequence[int]) -> list[tuple[Recaller, str | None]]:
        """What answers each user now, and the arm of the running experiment that it belongs to.

        Raises:
            NoReleaseError: see ``recaller``.
        """
        self._asked_lately.extend(user_ids)
        trial, live = self._trial, self.recaller  # once: a flip in between must not mix two releases
        return [trial.choose(user_id, live) for user_id in user_ids]

    def recaller_of(self, user_id: int) -> tuple[Recaller, str | None]:
        """The same for one user."""
        [found] = self.recallers_of([user_id])
        return found

    def arms(self) -> dict[str, Recaller]:
        """What answers each arm of the running experiment."""
        trial = self._trial
        return {name: recaller or self.recaller for name, recaller in trial.recallers.items()}

    def kept_releases(self) -> list[Entry]:
        """Releases that ``kept`` opens, the one that was published last first."""
        return [entry for entry in ReleaseWriter(self._engine).entries() if entry.state in SERVABLE]

    def kept(self, version: str) -> Recaller:
        """What answers from a kept release, for people who compare; the last one stays open.

        Raises:
            NoReleaseError: it is not kept.
            BundleError: a bundle of it is damaged.
        """
        if (live := self._recaller) and live.release.version == version:
            return live
        release = find_release(self._engine, version)
        if release is None or release.state not in SERVABLE:
            names = ", ".join(entry.version for entry in self.kept_releases()) or "none"
            raise NoReleaseError(f"release {version} is not kept; there are {names}")
        with self._comparing:
            opened = self._compared
            if opened is None or opened.release.version != version or not self._is_current(opened):
                opened = self._compared = self._open(release)
            return opened

    def refresh(self) -> bool:
        """Follow the pointer, the videos of today and the experiment; true if another release answers now.

        What fails leaves things as they are, stands in the way of nothing else, and is tried again next time.
        """
        with self._refreshing:
            before = self._recaller
            found = [self._tried(follow) for follow in (self._follow, self._renew, self._follow_experiment)]
            problem = "; ".join(dict.fromkeys(filter(None, found)))
            if problem and problem != self._problem:  # not every other second
                log.error("not all was opened", error=problem)
            self._problem = problem
            after = self._recaller
            return after is not None and (before is None or not _is_same(before.release, after.release))

    def _tried(self, follow: Callable[[], None]) -> str:
        """What went wrong, or nothing."""
        try:
            follow()
        except NoReleaseError as error:  # a home without a release is no failure
            return str(error)
        except (FacetError, SQLAlchemyError, OSError) as error:
            self._metrics.count_failed_flip()
            return str(error)
        return ""

    @property
    def problem(self) -> str:
        """Why the newest release, or an arm of the experiment, could not be opened; empty if all is well."""
        return self._problem

    def indexes(self) -> dict[str, WatchedIndex]:
        """What the channels of the live release search; empty before the first release."""
        return self._recaller.indexes if self._recaller else {}

    def problems(self, *, stores: bool = True) -> dict[str, str]:
        """What is missing for full answers, by dependency; without ``stores`` for any answer at all."""
        if self._recaller is None:
            return {"release": self._problem}
        return self._recaller.problems() if stores else {}

    def durations(self, video_ids: Sequence[int]) -> list[float | None]:
        """Seconds of each video, ``None`` where the release does not know it."""
        if (recaller := self._recaller) is None:
            return [None] * len(video_ids)
        return recaller.catalogue.durations(np.array(video_ids, dtype=np.int64))

    def _follow(self) -> None:
        release = current_release(self._engine)
        if release is None:
            raise NoReleaseError("no release is live yet; train a bundle and run `facet publish BUNDLE`")
        if self._recaller is not None and _is_same(self._recaller.release, release):
            return
        self._recaller = self._open_warm(release)
        self._metrics.count_flip(release.version, release.revision, release.bundles)
        log.info("answering from release", version=release.version, revision=release.revision)

    def _renew(self) -> None:
        """Also where a newer release cannot be opened: what was withdrawn must go from the old one, too."""
        if (old := self._recaller) is not None and not self._is_current(old):
            self._recaller = self._open_warm(old.release)
            log.info("catalogue renewed", version=old.release.version, videos=len(self._recaller.catalogue))

    def _follow_experiment(self) -> None:
        """Open what the arms need; an arm that cannot be opened takes no part until the next change."""
        if self._recaller is None:
            return
        experiment, live = running_experiment(self._engine), self.recaller.release
        is_same = (experiment, live if experiment else None) == (self._trial.experiment, self._trial.live)
        if is_same and all(map(self._is_current, self._trial.recallers.values())):
            return
        recallers: dict[str, Recaller | None] = {}
        for arm in experiment.arms if experiment else ():
            try:
                recallers[arm.name] = self._recaller_of_arm(arm)
            except FacetError as error:
                log.error("arm takes no part", arm=arm.name, error=str(error))
        self._trial = Trial(experiment, live if experiment else None, recallers)
        log.info("experiment", name=experiment.name if experiment else None, arms=sorted(recallers))

    def _is_current(self, recaller: Recaller | None) -> bool:
        """Whether it knows the videos of today, see ``features/overlay.py``."""
        if recaller is None:
            return True
        return recaller.overlays == overlay_stamps(self._settings, recaller.release.bundles.values())

    def _recaller_of_arm(self, arm: Arm) -> Recaller | None:
        """``None`` stands for what is live."""
        live = self.recaller.release
        release = find_release(self._engine, arm.release) if arm.release else live
        if release is None or release.state in UNSERVABLE:
            raise NoReleaseError(f"release {arm.release} is not kept")
        if arm.merge:
            arm.merge.require_fit(release.bundles)
            release = replace(release, merge=arm.merge)
        is_live = release.version == live.version and release.merge == live.merge
        return None if is_live else self._open_warm(release)

    def _open_warm(self, release: Release) -> Recaller:
        """Opened, and asked for the users of the last requests.

        Raises:
            ReleaseMismatchError: what it found was not of this release.
        """
        recaller, started, num_users = self._open(release), time.monotonic(), 0
        for user_id in dict.fromkeys(reversed(self._asked_lately.copy())):
            if time.monotonic() - started > REPLAY_SECONDS:
                break
            if LeftOut.MISMATCH in recaller.recall(user_id).left_out.values():
                raise ReleaseMismatchError(f"an index of release {release.version} holds another release")
            num_users += 1
        log.info("release warm", version=release.version, users=num_users, seconds=time.monotonic() - started)
        return recaller

    def _open(self, release: Release) -> Recaller:
        again, reason = self._damaged.get(release.version, (0.0, ""))
        if time.monotonic() < again:
            raise BundleError(reason)
        try:
            return open_recaller(
                self._settings,
                self._serving_settings,
                release=release,
                users=self._users,
                connection=self._connection,
                hidden=self._hidden,
            )
        except BundleError as error:
            self._damaged[release.version] = time.monotonic() + self._open_again_seconds, str(error)
            raise

    @cached_property
    def _engine(self) -> sa.Engine:
        return open_registry(self._settings)

    @cached_property
    def _users(self) -> TimedLookup:
        if self._given_users is not None:
            return self._given_users
        timeout = self._serving_settings.features_timeout_ms / 1000
        return open_lookup(self._settings, timeout_seconds=timeout)


def _is_same(mine: Release, other: Release) -> bool:
    return (mine.version, mine.revision) == (other.version, other.revision)
