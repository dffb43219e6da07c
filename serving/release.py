"""The only writer of the release registry. See ``features/release.py`` for the tables.

::

    building -> verified -> live -> retired -> dropped
        \\-> failed              ^------/   rollback

The pointer moves by compare-and-swap: a flip names the revision that it saw, and of two flips that saw
the same one wins.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from features.experiment import running_experiment
from features.merge_config import DEFAULT_MERGE, MergeConfig
from features.release import POINTER, RELEASES, registry_time
from serving.errors import PublishConflictError, RollbackError

BUILDING: Final = "building"
VERIFIED: Final = "verified"
LIVE: Final = "live"
RETIRED: Final = "retired"
FAILED: Final = "failed"
DROPPED: Final = "dropped"
SERVABLE: Final = (VERIFIED, LIVE, RETIRED)
"""States in which the collections of a release are complete."""
UNSERVABLE: Final = (FAILED, DROPPED)
"""States that end only when the bundles are published again."""
COMES_FROM: Final = {VERIFIED: (BUILDING,), FAILED: (BUILDING,), DROPPED: (BUILDING, VERIFIED, RETIRED)}
"""What a release must be in to be moved to each state; ``begin`` and ``flip`` make the others."""
KEPT_RELEASES: Final = 3
POINTER_ID: Final = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the registry, live or not."""

    version: str
    state: str
    bundles: dict[str, str]
    collections: dict[str, str]
    created_at: datetime
    replaced: str | None
    """What was live when it was published; ``None`` if nothing was, or nobody noted it."""


class ReleaseWriter:
    """Writes releases and the pointer.

    Args:
        engine: from ``features.release.open_registry``.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def begin(
        self,
        version: str,
        *,
        bundles: dict[str, str],
        collections: dict[str, str],
        created_by: str,
        merge: MergeConfig = DEFAULT_MERGE,
    ) -> None:
        """Register a release as ``building``, before anything of it is built; also a failed one again.

        One whose collections are complete stays what it is until the flip: whatever comes of publishing it
        again, it can be gone back to, and its collections are not built anew under those who search them.
        """
        row = {
            "state": BUILDING,
            "bundles": bundles,
            "collections": collections,
            "created_at": registry_time(),
            "created_by": created_by,
            "reason": None,
            "merge_config": merge.model_dump(),
        }
        with self._engine.begin() as connection:
            is_it = RELEASES.c.version == version
            again = sa.update(RELEASES).where(is_it, RELEASES.c.state.not_in(SERVABLE)).values(row)
            is_there = sa.select(sa.exists().where(is_it))
            if not connection.execute(again).rowcount and not connection.scalar(is_there):
                connection.execute(sa.insert(RELEASES).values(version=version, **row))

    def set_state(self, version: str, state: str, *, reason: str | None = None) -> None:
        """Move a release to another state, if it is in one that this may follow."""
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(RELEASES)
                .where(RELEASES.c.version == version, RELEASES.c.state.in_(COMES_FROM[state]))
                .values(state=state, reason=reason)
            )

    def flip(self, version: str, *, expected_revision: int, is_rollback: bool = False) -> None:
        """Make a servable release live in one transaction and retire the one before it.

        Args:
            expected_revision: of the pointer as the caller saw it; 0 before the first release.
            is_rollback: nothing is published, so its place among the releases stays as it was.

        Raises:
            PublishConflictError: the pointer moved meanwhile, or the release is no longer servable.
        """
        try:
            with self._engine.begin() as connection:
                self._move_pointer(connection, version, expected_revision)
                is_live, values = RELEASES.c.state == LIVE, dict[str, object](state=LIVE, reason=None)
                if not is_rollback:
                    values["replaced"] = connection.scalar(sa.select(RELEASES.c.version).where(is_live))
                    is_again = RELEASES.c.state == RETIRED
                    values["created_at"] = sa.case((is_again, registry_time()), else_=RELEASES.c.created_at)
                connection.execute(sa.update(RELEASES).where(is_live).values(state=RETIRED))
                is_meant = sa.and_(RELEASES.c.version == version, RELEASES.c.state.in_(SERVABLE))
                if connection.execute(sa.update(RELEASES).where(is_meant).values(values)).rowcount != 1:
                    raise PublishConflictError(
                        f"release {version} is not servable; publish its bundles again"
                    )
        except IntegrityError as error:
            raise _conflict(expected_revision) from error

    def entries(self) -> list[Entry]:
        """All releases, the one that was published last first."""
        columns = (RELEASES.c[name] for name in Entry.__slots__)
        query = sa.select(*columns).order_by(RELEASES.c.created_at.desc(), RELEASES.c.version.desc())
        with self._engine.connect() as connection:
            return [Entry(*row) for row in connection.execute(query)]

    def rollback_target(self, live: str, version: str | None) -> str:
        """The release to go back to: ``version``, or else the next kept one in the line of the live one.

        Raises:
            RollbackError: there is none, or its collections are gone; the text names those that can be had.
        """
        entries = self.entries()
        retired = [entry.version for entry in entries if entry.state == RETIRED]
        if version is None:
            version = next((older for older in _line(entries, live) if older in retired), None)
        if version is None or version not in {live, *retired}:
            names = ", ".join(retired) or "none"
            raise RollbackError(
                f"cannot go back to {version or 'an older release'}: the releases kept are {names}"
            )
        return version

    def retire_old(self, live: str) -> list[str]:
        """Mark as ``dropped`` what is not kept, and return the versions that are.

        Kept are the live release, the one it replaced, the one that this one replaced and so on, and those
        published last; never more than ``KEPT_RELEASES``, but for those of a running experiment. A release
        that is marked cannot go live any more, so its collections may go.
        """
        entries = self.entries()
        retired = [entry.version for entry in entries if entry.state == RETIRED]
        order = [live, *(older for older in _line(entries, live) if older in retired), *retired]
        experiment = running_experiment(self._engine)
        on_trial = sorted(experiment.releases()) if experiment else []
        kept = list(dict.fromkeys([*list(dict.fromkeys(order))[:KEPT_RELEASES], *on_trial]))
        for entry in entries:
            if entry.version not in kept and entry.state not in UNSERVABLE:
                # The publisher holds the lock, so a release that is still being built was abandoned.
                self.set_state(entry.version, DROPPED, reason=f"not kept ({entry.state})")
        return kept

    def unused_collections(self) -> list[str]:
        """Collections that only failed and dropped releases name."""
        return _unused([(entry.state, entry.collections) for entry in self.entries()])

    def unused_bundles(self) -> list[str]:
        """Bundles, ``<model>/<version>``, that only failed and dropped releases name."""
        return _unused([(entry.state, entry.bundles) for entry in self.entries()])

    @staticmethod
    def _move_pointer(connection: sa.Connection, version: str, expected_revision: int) -> None:
        values = {"version": version, "revision": expected_revision + 1}
        if expected_revision == 0:
            connection.execute(sa.insert(POINTER).values(id=POINTER_ID, **values))
            return
        moved = connection.execute(
            sa.update(POINTER)
            .where(POINTER.c.id == POINTER_ID, POINTER.c.revision == expected_revision)
            .values(values)
        )
        if moved.rowcount != 1:
            raise _conflict(expected_revision)


def _line(entries: list[Entry], version: str) -> list[str]:
    """What ``version`` replaced, what that one replaced and so on, kept or not: the way of rollbacks.

    Args:
        entries: the one that was published last first.
    """
    line = [next(entry for entry in entries if entry.version == version)]
    while before := _before(line[-1], entries):
        line.append(before)
    return [entry.version for entry in line[1:]]


def _before(entry: Entry, entries: list[Entry]) -> Entry | None:
    """What it replaced, unless that was published again since: nothing leads forward.

    Where it is not noted, the kept release that was published last before it.
    """
    older = [each for each in entries if each.created_at < entry.created_at]
    if entry.replaced is None:
        return next((each for each in older if each.state == RETIRED), None)
    return next((each for each in older if each.version == entry.replaced), None)


def _unused(named: Iterable[tuple[str, dict[str, str]]]) -> list[str]:
    """Of ``(state, channel to name)`` of releases, the names that no other release needs."""
    used, unused = set[str](), set[str]()
    for state, names in named:
        (unused if state in UNSERVABLE else used).update(names.values())
    return sorted(unused - used)


def _conflict(expected_revision: int) -> PublishConflictError:
    return PublishConflictError(
        f"the release pointer moved on from revision {expected_revision}; nothing was changed, run again"
    )
