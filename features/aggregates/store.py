"""The partial aggregates of every day, each computed once: ``aggregates/<kind>/<day>/<identity>/``.

The identity of a day is a sum over the files that it is made of and the rule, so a day that was rewritten
has another one and is computed again; nothing else is. A folder appears under its name when complete, and
holds ``<table>.parquet``. Videos count as the newest snapshot up to the day says (the oldest there is, for
days before it).
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

import ibis.expr.types as ir
import pyarrow as pa
import structlog

from features.aggregates.affinities import affinities
from features.aggregates.columns import WINDOWS
from features.aggregates.engines import Engine, Query, open_engine
from features.aggregates.partials import counts, of_day, positives, regrouped, user_videos
from features.aggregates.plays import plays_of, tags_of, uploaders_of
from features.aggregates.transitions import daily_pairs, total_pairs
from features.aggregates.windows import entity_stats, known_on
from features.days import add_days
from features.errors import BadInputError
from features.lake import Lake
from features.schema import LANDING_DAY, TAG_ID, UPLOADER_ID, USER_ID, VIDEO_ID, VIDEOS, WATCHES
from features.settings import Settings

log = structlog.get_logger(__name__)

VERSION: Final = 1
"""Raise it when what a day stores changes; then all days are computed again."""
COUNTS_OF: Final = {USER_ID: "users", VIDEO_ID: "videos", UPLOADER_ID: "uploaders", TAG_ID: "tags"}
PAIRS_OF: Final = {
    USER_ID: "user_videos",
    VIDEO_ID: "user_videos",
    UPLOADER_ID: "user_uploaders",
    TAG_ID: "user_tags",
}
POSITIVES: Final = "positives"
DAILY: Final = "daily"
TRANSITIONS: Final = "transitions"


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of the lake that the sums of a day are made of."""

    watches: list[str]
    videos: list[str]


class Aggregates:
    """Windows over the days of one home, as its lake is when they are first asked for.

    Every call first computes those of the days that it reads which changed since they were stored.
    """

    def __init__(self, settings: Settings, *, engine: Engine | None = None) -> None:
        self._lake = Lake(settings)
        self._root = settings.root / "aggregates"
        self._rule = settings.rule
        self._config = settings.aggregates
        self._engine = engine or open_engine(self._config, self._root / ".spill")
        self._sources: dict[str, Sources] = {}
        self._identities: dict[str, str] = {}
        self._queries: dict[Hashable, Query] = {}

    def update(self, days: Sequence[str]) -> list[str]:
        """Compute the sums of those of ``days`` that changed since, and return these days."""
        changed = [day for day in sorted(days) if not self._daily(day).exists()]
        for day in changed:
            self._build(self._daily(day), day)
        return changed

    def update_transitions(self, days: Sequence[str]) -> list[str]:
        """As ``update``, for the pairs of consecutive positives."""
        changed = [day for day in sorted(days) if not self._transitions(day).exists()]
        for day in changed:
            self._build_transitions(self._transitions(day), day)
        return changed

    def stats(self, entity: str, day: str) -> pa.Table:
        """Statistics of every ``entity`` with a play in the last 30 days; see ``windows.entity_stats``.

        Raises:
            BadInputError: no watches of these days are in the lake.
        """
        counts, pairs = self._known(COUNTS_OF[entity], day), self._known(PAIRS_OF[entity], day)
        return self._fetch(
            ("stats", entity), lambda: entity_stats(counts, pairs, entity=entity, config=self._config)
        )

    def affinities(
        self, entity: str, day: str, *, top: int | None = None, everyone: bool = False
    ) -> pa.Table:
        """Affinities to uploaders or tags of users with a watch that landed on ``day``, or of everyone.

        Whoever has no new watch leans as before; see ``affinities.affinities``.

        Raises:
            BadInputError: no watches of these days are in the lake.
        """
        counts, pairs = self._known(COUNTS_OF[entity], day), self._known(PAIRS_OF[entity], day)
        if not everyone:
            landed = self._read(COUNTS_OF[USER_ID], self._window(day))
            users = landed.filter(landed[LANDING_DAY] == day).select(USER_ID).distinct()
            pairs = self._engine.view(f"changed_{PAIRS_OF[entity]}", pairs.semi_join(users, USER_ID))
        return self._fetch(
            ("affinities", entity, top, everyone),
            lambda: affinities(pairs, counts, entity=entity, config=self._config, top=top),
        )

    def transitions(self, days: Sequence[str]) -> pa.Table:
        """``from_video_id, to_video_id, pairs`` over ``days``; see ``transitions.daily_pairs``.

        Raises:
            BadInputError: no watches of these days are in the lake.
        """
        known = self._curated(days)
        self.update_transitions(known)
        folders = [self._transitions(day) for day in known]
        rows = self._engine.read([folder / f"{TRANSITIONS}.parquet" for folder in folders])
        return self._engine.fetch(self._engine.prepare(total_pairs(rows)))

    def prune(self) -> int:
        """Remove what no day in the lake is made of any more; returns how many folders."""
        current = {place(day) for day in self._days for place in (self._daily, self._transitions)}
        stale = [folder for folder in self._root.glob("*/*/*") if folder not in current]
        for folder in stale:
            shutil.rmtree(folder, ignore_errors=True)
        return len(stale)

    @cached_property
    def _days(self) -> list[str]:
        return list(self._lake.day_counts(WATCHES))

    @cached_property
    def _snapshots(self) -> list[str]:
        days = list(self._lake.day_counts(VIDEOS))
        if not days:
            raise BadInputError("the lake holds no videos; ingest a snapshot of them first")
        return days

    def _known(self, table: str, day: str) -> ir.Table:
        """What a window that ends with ``day`` is made of, always under one name."""
        window = self._window(day)
        return self._engine.view(f"known_{table}", known_on(self._read(table, window), day, _number(day)))

    def _window(self, day: str) -> list[str]:
        return self._curated([add_days(day, -age) for age in range(WINDOWS[-1])])

    def _fetch(self, name: Hashable, expression: Callable[[], ir.Table]) -> pa.Table:
        """Evaluate what is compiled once under ``name``: it reads views, which know the day."""
        if name not in self._queries:
            self._queries[name] = self._engine.prepare(expression())
        return self._engine.fetch(self._queries[name])

    def _curated(self, days: Sequence[str]) -> list[str]:
        known = sorted(set(days) & set(self._days))
        if not known:
            raise BadInputError(
                f"the lake holds no watches of {min(days)}..{max(days)}; run `facet ingest` first"
            )
        return known

    def _read(self, table: str, days: Sequence[str]) -> ir.Table:
        self.update(days)
        return self._engine.read([self._daily(day) / f"{table}.parquet" for day in days])

    def _daily(self, day: str) -> Path:
        if day not in self._identities:
            sources = self._sources_of(day)
            rule = self._rule.model_dump_json()
            self._identities[day] = _identity(VERSION, rule, sources.watches, sources.videos)
        return self._root / DAILY / day / self._identities[day]

    def _transitions(self, day: str) -> Path:
        sums = [self._daily(each).name for each in self._with_eve(day)]
        config = self._config
        identity = _identity(VERSION, sums, config.pair_places, config.pair_gap_minutes)
        return self._root / TRANSITIONS / day / identity

    def _sources_of(self, day: str) -> Sources:
        if day not in self._sources:
            newest = max((each for each in self._snapshots if each <= day), default=self._snapshots[0])
            files = self._lake.partition_files
            self._sources[day] = Sources(files(WATCHES, day), files(VIDEOS, newest))
        return self._sources[day]

    def _with_eve(self, day: str) -> list[str]:
        eve = add_days(day, -1)
        return [eve, day] if eve in self._days else [day]

    def _build(self, folder: Path, day: str) -> None:
        beside, number, write = _beside(folder), _number(day), self._engine.write
        watches, videos = map(self._engine.read, astuple(self._sources_of(day)))
        with self._engine.hold(plays_of(watches, videos, self._rule)) as plays:
            first = {
                COUNTS_OF[USER_ID]: counts(plays, USER_ID),
                COUNTS_OF[VIDEO_ID]: counts(plays, VIDEO_ID),
                PAIRS_OF[VIDEO_ID]: user_videos(plays),
                POSITIVES: positives(plays),
            }
            for name, rows in first.items():
                write(of_day(rows, number), beside / f"{name}.parquet")
        by_video, by_user = (
            self._engine.read([beside / f"{names[VIDEO_ID]}.parquet"]) for names in (COUNTS_OF, PAIRS_OF)
        )
        for entity, attribute in {UPLOADER_ID: uploaders_of(videos), TAG_ID: tags_of(videos)}.items():
            per_entity = regrouped(by_video, attribute, [entity])
            write(of_day(per_entity, number), beside / f"{COUNTS_OF[entity]}.parquet")
            per_user = regrouped(by_user, attribute, [USER_ID, entity])
            write(of_day(per_user, number), beside / f"{PAIRS_OF[entity]}.parquet")
        _publish(beside, folder)
        log.info("day aggregated", day=day, identity=folder.name)

    def _build_transitions(self, folder: Path, day: str) -> None:
        beside = _beside(folder)
        rows = daily_pairs(
            self._read(POSITIVES, self._with_eve(day)), day_number=_number(day), config=self._config
        )
        self._engine.write(rows, beside / f"{TRANSITIONS}.parquet")
        _publish(beside, folder)


def _identity(*sources: object) -> str:
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:16]


def _number(day: str) -> int:
    return (date.fromisoformat(day) - date(1970, 1, 1)).days


def _beside(folder: Path) -> Path:
    """A fresh folder that nobody reads yet."""
    beside = folder.parent / f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    beside.mkdir(parents=True)
    return beside


def _publish(beside: Path, folder: Path) -> None:
    """Give a complete folder its name and remove what it supersedes."""
    try:
        beside.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(beside)  # somebody else was faster, and made the same
    for other in folder.parent.iterdir():
        if other.is_dir() and not other.name.startswith(".") and other != folder:
            shutil.rmtree(other, ignore_errors=True)
