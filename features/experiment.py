"""An experiment: which users are answered by which arm. One at a time, in the registry's database.

A user's arm depends on the salt and the user id alone, so it stays the same in every process and after every
restart. An arm is another release, another merge of the same release, or, as a control, what is live.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, model_validator
from sqlalchemy.exc import DBAPIError, IntegrityError

from features.errors import BadInputError, problems_of
from features.merge_config import MergeConfig, read_merge_config
from features.release import METADATA, RELEASES, current_release, registry_time

EXPERIMENTS: Final = sa.Table(
    "experiments",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("started_at", sa.DateTime, nullable=False),  # UTC
    sa.Column("ended_at", sa.DateTime),
)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_SCALE: Final = 2**64
_CONFLICT: Final = "40001"  # SQLSTATE of a transaction that another one got in the way of


class Arm(BaseModel):
    """One arm; without a release and a merge it is what is live."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: Name
    share: PositiveFloat
    """Of the users; the shares of all arms add up to at most 1, and the rest takes no part."""
    release: str | None = None
    """Version of a kept release."""
    merge: MergeConfig | None = None
    """Instead of the release's own."""


class Experiment(BaseModel):
    """Arms and who gets them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    arms: tuple[Arm, ...] = Field(min_length=2)
    salt: str = ""
    """Added to the name: another one deals the users anew."""

    @model_validator(mode="after")
    def _arms_fit_together(self) -> "Experiment":
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"two arms have one name: {', '.join(names)}")
        if (total := sum(arm.share for arm in self.arms)) > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}, more than 1")
        return self

    def arm_of(self, user_id: int) -> Arm | None:
        """The arm of a user, ``None`` for those who take no part."""
        digest = hashlib.blake2b(f"{self.name}/{self.salt}/{user_id}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / _SCALE
        for arm in self.arms:
            if place < arm.share:
                return arm
            place -= arm.share
        return None

    def releases(self) -> set[str]:
        """Versions that must be kept while it runs."""
        return {arm.release for arm in self.arms if arm.release}


def parse_arms(texts: Sequence[str]) -> list[dict[str, Any]]:
    """``NAME:SHARE``, ``NAME:SHARE:release=VERSION`` or ``NAME:SHARE:merge=FILE``, as fields of ``Arm``."""
    arms = []
    for text in texts:
        name, _, rest = text.partition(":")
        share, _, what = rest.partition(":")
        kind, _, value = what.partition("=")
        if kind not in ("", "release", "merge") or (kind and not value):
            raise BadInputError(f"{text!r} is no arm: write NAME:SHARE[:release=VERSION|:merge=FILE]")
        arm: dict[str, Any] = {"name": name, "share": share}
        if kind == "release":
            arm["release"] = value
        if kind == "merge":
            arm["merge"] = read_merge_config(Path(value)).model_dump()
        arms.append(arm)
    return arms


def start_experiment(engine: sa.Engine, name: str, arms: Sequence[str], salt: str = "") -> Experiment:
    """Begin an experiment; every serving process follows within seconds.

    Args:
        arms: see ``parse_arms``.

    Raises:
        BadInputError: the arms make no sense, name a release that is not kept or weigh channels that the
            live one has not, or another one is running.
    """
    try:
        experiment = Experiment.model_validate({"name": name, "arms": parse_arms(arms), "salt": salt})
    except ValidationError as error:
        raise BadInputError(f"experiment {name!r}: {problems_of(error)}") from error
    live = current_release(engine)
    for arm in experiment.arms:
        if live and arm.merge:
            arm.merge.require_fit(live.bundles)  # serving would leave the arm out, and only log it
    try:
        with engine.execution_options(isolation_level="SERIALIZABLE").begin() as connection:
            _insert(connection, experiment)
    except DBAPIError as error:
        if not isinstance(error, IntegrityError) and getattr(error.orig, "sqlstate", "") != _CONFLICT:
            raise
        raise BadInputError("another experiment was started at the same moment; try again") from error
    return experiment


def _insert(connection: sa.Connection, experiment: Experiment) -> None:
    if connection.scalar(sa.select(EXPERIMENTS.c.name).where(EXPERIMENTS.c.name == experiment.name)):
        raise BadInputError(f"there was an experiment {experiment.name} before; choose another name")
    states = sa.select(RELEASES.c.version).where(RELEASES.c.state.in_(("live", "retired")))
    kept = set(connection.scalars(states))
    if missing := experiment.releases() - kept:
        there = ", ".join(sorted(kept)) or "none"
        raise BadInputError(f"release {', '.join(sorted(missing))} is not kept; there are {there}")
    row = {
        "name": experiment.name,
        "definition": experiment.model_dump(mode="json"),
        "started_at": registry_time(),
    }
    connection.execute(sa.insert(EXPERIMENTS), row)
    # After the insert, which takes the lock of SQLite: of two that start at once, one sees the other.
    others = sa.select(EXPERIMENTS.c.name).where(_RUNS, EXPERIMENTS.c.name != experiment.name)
    if running := connection.scalar(others):
        raise BadInputError(f"experiment {running} is running; end it with `facet ab stop`")


def stop_experiment(engine: sa.Engine) -> str:
    """End the running experiment and return its name: everybody gets what is live again.

    Raises:
        BadInputError: none is running.
    """
    with engine.begin() as connection:
        running = connection.scalar(sa.select(EXPERIMENTS.c.name).where(_RUNS))
        if running is None:
            raise BadInputError("no experiment is running")
        connection.execute(sa.update(EXPERIMENTS).where(_RUNS).values(ended_at=registry_time()))
    return str(running)


def running_experiment(engine: sa.Engine) -> Experiment | None:
    """The experiment that runs now, or ``None``."""
    with engine.connect() as connection:
        definition = connection.scalar(sa.select(EXPERIMENTS.c.definition).where(_RUNS))
    return None if definition is None else Experiment.model_validate(definition)


def experiment_between(
    engine: sa.Engine, start: datetime, end: datetime, name: str | None = None
) -> tuple[Experiment, datetime, datetime]:
    """The newest experiment that ran in [start, end), or the one named, and the part in which it ran.

    Raises:
        BadInputError: there is none.
    """
    query = sa.select(EXPERIMENTS).order_by(EXPERIMENTS.c.started_at.desc())
    with engine.connect() as connection:
        known = connection.execute(query).all()
    ran = {row.name: f"{row.name} from {row.started_at} to {row.ended_at or 'now'}" for row in known}
    if name and name not in ran:
        raise BadInputError(f"there is no experiment {name}; there are {', '.join(ran) or 'none'}")
    for row in known:
        began = max(start, row.started_at.replace(tzinfo=UTC))
        ended = min(end, row.ended_at.replace(tzinfo=UTC)) if row.ended_at else end
        if name in (None, row.name) and began < ended:
            return Experiment.model_validate(row.definition), began, ended
    raise BadInputError(
        f"no experiment ran between {start.isoformat()} and {end.isoformat()} (UTC: "
        f"{ran[name] if name else '; '.join(ran.values()) or 'there was none'}); choose other days"
    )


_RUNS: Final = EXPERIMENTS.c.ended_at.is_(None)
