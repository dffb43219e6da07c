"""Watches from the lake as memory-resident sequences (CSR form), cut by time.

Histories come from ``features.history.user_histories``, the function that fills the feature store, so
training sees what serving will see. All reads of one ``WatchLog`` are of the same table versions.

Shape letters: U users (U1 = U + 1), W watches or ids of all users, V videos, B keys asked for,
P pairs found.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from features.bundle import DataSource
from features.days import day_of
from features.errors import BadInputError
from features.follows import FOLLOWED_UPLOADERS, user_follows
from features.history import History, user_histories, user_seen, watches_with_actions
from features.impressions import capped_by_user
from features.lake import Lake, connect
from features.merge_config import ImpressionCap
from features.positives import Action, PositiveRule
from features.schema import (
    ACTIONS,
    EVENT_TIME,
    EVENT_TIMES,
    EXPOSURES,
    SEGMENT,
    UPLOADER_ID,
    USER_ID,
    USERS,
    VIDEO_ID,
    VIDEO_IDS,
    VIDEOS,
    WATCHES,
)
from training.user_profiles import UserProfiles

WHOLE_PAST: Final = 999_999  # DuckDB sorts no more into one list
"""Offline, everything that was ever watched counts as seen."""
POSITIVES: Final = "positives"
NUM_WATCHES: Final = "num_watches"


@dataclass(frozen=True, slots=True)
class Sequences:
    """Watches of user u are ``[offsets[u], offsets[u + 1])`` of the flat arrays, oldest first."""

    user_ids: Int64[np.ndarray, " U"]
    offsets: Int64[np.ndarray, " U1"]
    video_ids: Int64[np.ndarray, " W"]
    actions: Int64[np.ndarray, " W"]
    times_us: Int64[np.ndarray, " W"]

    def __len__(self) -> int:
        return len(self.user_ids)

    def lengths(self) -> Int64[np.ndarray, " U"]:
        """Watches per user."""
        return np.diff(self.offsets)

    def histories(self, user_ids: Int64[np.ndarray, " B"]) -> list[History]:
        """Histories in the order of ``user_ids``; empty for users without watches."""
        found, starts, ends = _locate(self.user_ids, self.offsets, user_ids)
        empty = History((), (), ())
        return [
            History(self.video_ids[a:b], self.times_us[a:b], self.actions[a:b]) if known else empty
            for known, a, b in zip(found, starts, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class IdLists:
    """Ids per key, keys ascending: videos that a user has seen or should get, tags of a video."""

    keys: Int64[np.ndarray, " U"]
    offsets: Int64[np.ndarray, " U1"]
    ids: Int64[np.ndarray, " W"]

    @classmethod
    def empty(cls) -> "IdLists":
        """No key at all."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, np.zeros(1, dtype=np.int64), nothing)

    @classmethod
    def from_columns(cls, keys: pa.ChunkedArray, lists: pa.ChunkedArray) -> "IdLists":
        """From a column of distinct ascending keys and a list column; null is an empty list."""
        flat = lists.combine_chunks()
        return cls(keys.to_numpy(), flat.offsets.to_numpy().astype(np.int64), flat.values.to_numpy())

    def joined(self, more: "IdLists", keys: Int64[np.ndarray, " B"]) -> "IdLists":
        """The ids that both have of these ascending keys, each once, ascending."""
        (users, ids), (others, added) = self.pairs(keys), more.pairs(keys)
        pairs = np.unique(np.stack([np.append(users, others), np.append(ids, added)], axis=1), axis=0)
        sizes = np.bincount(pairs[:, 0], minlength=len(keys))
        return IdLists(keys, np.concatenate([[0], sizes.cumsum()]), pairs[:, 1])

    def pairs(self, keys: Int64[np.ndarray, " B"]) -> tuple[Int64[np.ndarray, " P"], Int64[np.ndarray, " P"]]:
        """``(place in keys, id)`` of every entry of the wanted keys."""
        found, starts, ends = _locate(self.keys, self.offsets, keys)
        sizes = np.where(found, ends - starts, 0)
        places = np.repeat(np.arange(len(keys)), sizes)
        within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        return places, self.ids[np.repeat(starts, sizes) + within]


class WatchLog:
    """Every watch before ``until`` with its action bits, and the videos and users known by then.

    Raises:
        BadInputError: the lake holds no watches or no videos before ``until``.
    """

    def __init__(self, lake: Lake, until: datetime, rule: PositiveRule) -> None:
        self.until = until
        self._lake = lake
        self._last_day = day_of(until - timedelta(microseconds=1))
        self._days = [day for day in lake.day_counts(WATCHES) if day <= self._last_day]
        self._video_day = lake.latest_day(VIDEOS, self._last_day)
        self._versions = {
            table: lake.snapshot(table) for table in (WATCHES, VIDEOS, USERS) if lake.has(table)
        }
        self._connection = connect()
        watches = lake.scan(self._connection, WATCHES, self._days, version=self._versions.get(WATCHES))
        videos = lake.scan(self._connection, VIDEOS, [self._video_day], version=self._versions[VIDEOS])
        early = watches.filter(f"{EVENT_TIME} < {_sql(until)}")
        watches_with_actions(early, videos, rule).create("watches")
        self._watches = self._connection.table("watches")
        if not self.source().num_watches:
            raise BadInputError(f"the lake holds no watch before {until.isoformat()}; ingest earlier days")

    def source(self) -> DataSource:
        """What a bundle says about the data that it was trained on."""
        watches, positives, users, first, last = self._connection.execute(
            f"SELECT count(*), count(*) FILTER ({_POSITIVE}), count(DISTINCT {USER_ID}), "
            f"strftime(min({EVENT_TIME}), '%Y-%m-%d'), strftime(max({EVENT_TIME}), '%Y-%m-%d') FROM watches"
        ).fetchall()[0]
        return DataSource(
            until=self.until,
            snapshots=self._versions,
            first_day=first or self._last_day,
            last_day=last or self._last_day,
            num_watches=watches,
            num_positives=positives,
            num_users=users,
        )

    def videos(self) -> pa.Table:
        """The newest snapshot of the videos."""
        return self._lake.read_days(VIDEOS, [self._video_day], version=self._versions[VIDEOS])

    def users(self) -> pa.Table | None:
        """The newest snapshot of the users, if there is one."""
        day = self._lake.newest_day(USERS, self._last_day)
        return None if day is None else self._lake.read_days(USERS, [day], version=self._versions.get(USERS))

    def profiles(self) -> UserProfiles:
        """Attributes of every user."""
        users = self.users()
        return UserProfiles.nobody() if users is None else UserProfiles.of(users)

    def segments(self) -> dict[int, str]:
        """Segment of every user whose profile has one."""
        users = self.users()
        if users is None:
            return {}
        pairs = zip(users[USER_ID].to_pylist(), users[SEGMENT].to_pylist(), strict=True)
        return {user: segment for user, segment in pairs if segment is not None}

    def watched_videos(self, until: datetime, min_watches: int) -> Int64[np.ndarray, " V"]:
        """Ids watched at least ``min_watches`` times before ``until``, those with most positives first."""
        rows = self._connection.sql(
            f"SELECT {VIDEO_ID} FROM watches WHERE {EVENT_TIME} < {_sql(until)} GROUP BY {VIDEO_ID} "
            f"HAVING count(*) >= {min_watches} "
            f"ORDER BY count(*) FILTER ({_POSITIVE}) DESC, count(*) DESC, {VIDEO_ID}"
        )
        return rows.to_arrow_table()[VIDEO_ID].to_numpy()

    def positives(self) -> pa.Table:
        """``user_id, video_id, event_time`` of every positive."""
        return self._connection.sql(
            f"SELECT {USER_ID}, {VIDEO_ID}, {EVENT_TIME} FROM watches WHERE {_POSITIVE}"
        ).to_arrow_table()

    def sequences(self, until: datetime, length: int) -> Sequences:
        """The newest ``length`` watches before ``until`` of every user."""
        rows = user_histories(self._watches, until, length=length).to_arrow_table().combine_chunks()
        ids, times, actions = (rows[name].combine_chunks() for name in (VIDEO_IDS, EVENT_TIMES, ACTIONS))
        return Sequences(
            rows[USER_ID].to_numpy(),
            ids.offsets.to_numpy().astype(np.int64),
            ids.values.to_numpy(),
            actions.values.to_numpy().astype(np.int64),
            times.values.to_numpy(),
        )

    def follows(self, until: datetime) -> IdLists:
        """Uploaders that each user followed before ``until``."""
        self._connection.register("all_videos", self.videos().select([VIDEO_ID, UPLOADER_ID]))
        videos = self._connection.table("all_videos")
        rows = user_follows(self._watches, videos, until).to_arrow_table()
        return IdLists.from_columns(rows[USER_ID], rows[FOLLOWED_UPLOADERS])

    def seen(self, until: datetime) -> IdLists:
        """Everything that each user watched before ``until``, whatever the outcome."""
        rows = user_seen(self._watches, until, length=WHOLE_PAST).to_arrow_table()
        return IdLists.from_columns(rows[USER_ID], rows[VIDEO_IDS])

    def capped(self, moment: datetime, cap: ImpressionCap) -> IdLists:
        """Videos that each user was shown often enough before ``moment``."""
        days = [day for day in self._lake.day_counts(EXPOSURES) if day <= self._last_day]
        exposures = self._lake.scan(self._connection, EXPOSURES, days)
        rows = capped_by_user(exposures, moment, cap)
        return IdLists.from_columns(rows[USER_ID], rows[VIDEO_IDS])

    def targets(self, start: datetime, end: datetime) -> IdLists:
        """Positives in [start, end) of known videos that the user had not watched before ``start``."""
        videos = pa.table({VIDEO_ID: self.videos()[VIDEO_ID]})
        self._connection.register("known_videos", videos)
        rows = self._connection.sql(
            f"""
            SELECT {USER_ID}, list_sort(list({VIDEO_ID})) AS {VIDEO_IDS} FROM (
                SELECT {USER_ID}, {VIDEO_ID} FROM watches SEMI JOIN known_videos USING ({VIDEO_ID})
                WHERE {_POSITIVE} AND {EVENT_TIME} >= {_sql(start)} AND {EVENT_TIME} < {_sql(end)}
                EXCEPT SELECT {USER_ID}, {VIDEO_ID} FROM watches WHERE {EVENT_TIME} < {_sql(start)}
            ) GROUP BY {USER_ID} ORDER BY {USER_ID}
            """
        ).to_arrow_table()
        return IdLists.from_columns(rows[USER_ID], rows[VIDEO_IDS])


_POSITIVE: Final = f"{ACTIONS} & {Action.POSITIVE.value} <> 0"


def _sql(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment.isoformat()}'"


def _locate(
    known: Int64[np.ndarray, " U"], offsets: Int64[np.ndarray, " U1"], wanted: Int64[np.ndarray, " B"]
) -> tuple[Bool[np.ndarray, " B"], Int64[np.ndarray, " B"], Int64[np.ndarray, " B"]]:
    """Whether each wanted user is known, and the start and end of its entries (0 and 0 if not)."""
    place = np.searchsorted(known, wanted)
    found = np.append(known, -1)[place] == wanted
    place = np.where(found, place, 0)
    starts = np.where(found, offsets[place], 0)
    ends = np.where(found, offsets[np.minimum(place + 1, len(offsets) - 1)], 0)
    return found, starts, ends
