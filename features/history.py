"""A user's watches as the models read them. One definition, for training and for serving alike.

``user_histories`` makes the history of every user before a moment (materialize writes its result to
the feature store, training and offline evaluation call it directly); ``pad_histories`` turns histories
into the arrays that an extractor takes (training, ``recall-batch`` and serving call it).

Shape letters: B users, L watches kept, newest last and padded on the left, P attributes of users.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import duckdb
import numpy as np
from jaxtyping import Bool, Float32, Int64

from features.positives import Action, PositiveRule
from features.schema import (
    ACTIONS,
    DURATION_SECONDS,
    EVENT_ID,
    EVENT_TIME,
    EVENT_TIMES,
    LANDING_DAY,
    PAD_ROW,
    USER_ID,
    VIDEO_ID,
    VIDEO_IDS,
)
from features.vocabulary import Vocabulary

HISTORY_LENGTH: Final = 100
"""Watches kept per user, of any outcome."""
SEEN_LENGTH: Final = 2000
"""Watches kept per user for filtering; dislikes stay beyond it."""
MICROSECONDS_PER_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class History:
    """The newest watches of one user, oldest first: id, microseconds since the epoch, ``Action`` bits."""

    video_ids: Sequence[int] | np.ndarray
    event_times: Sequence[int] | np.ndarray
    actions: Sequence[int] | np.ndarray


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """The inputs of an extractor; a position is padding where ``video_rows`` is ``PAD_ROW``."""

    video_rows: Int64[np.ndarray, "B L"]
    actions: Int64[np.ndarray, "B L"]
    age_days: Float32[np.ndarray, "B L"]
    num_unknown: int
    """Watches of videos outside the vocabulary, left out."""
    profile: Int64[np.ndarray, "B P"] | None = None
    """Rows of the users' attributes, for bundles that read them, see ``features/profile.py``."""

    def feed(self) -> dict[str, np.ndarray]:
        """Inputs by name, for ONNX Runtime."""
        inputs = {"video_rows": self.video_rows, "actions": self.actions, "age_days": self.age_days}
        return inputs if self.profile is None else inputs | {"profile": self.profile}

    def is_known(self) -> Bool[np.ndarray, " B"]:
        """Of which users the bundle knows anything: a video of the history, or an attribute."""
        has_watched = (self.video_rows != PAD_ROW).any(axis=1)
        return has_watched if self.profile is None else has_watched | (self.profile != PAD_ROW).any(axis=1)


def watches_with_actions(
    watches: duckdb.DuckDBPyRelation, videos: duckdb.DuckDBPyRelation, rule: PositiveRule
) -> duckdb.DuckDBPyRelation:
    """``user_id, video_id, event_time, event_id, landing_day, actions``: watches with their ``Action`` bits.

    Args:
        watches: curated watches.
        videos: at most one row per video with ``video_id, duration_seconds``; others count as unknown.
    """
    durations = videos.project(f"{VIDEO_ID}, {DURATION_SECONDS}").set_alias("d")
    joined = watches.set_alias("w").join(durations, f"w.{VIDEO_ID} = d.{VIDEO_ID}", how="left")
    keys = f"w.{USER_ID}, w.{VIDEO_ID}, {EVENT_TIME}, {EVENT_ID}, {LANDING_DAY}"
    return joined.project(f"{keys}, CAST({rule.action_sql()} AS INTEGER) AS {ACTIONS}")


def user_histories(
    watches: duckdb.DuckDBPyRelation, until: datetime, *, length: int = HISTORY_LENGTH
) -> duckdb.DuckDBPyRelation:
    """``user_id, video_ids, event_times, actions``: the newest watches before ``until``, oldest first.

    Args:
        watches: the result of ``watches_with_actions``.
    """
    watch = f"{{'{VIDEO_ID}': {VIDEO_ID}, '{EVENT_TIME}': {EVENT_TIME}, '{ACTIONS}': {ACTIONS}}}"
    return _query(
        watches,
        f"""
        SELECT {USER_ID},
               list_transform(newest, lambda watch: watch.{VIDEO_ID}) AS {VIDEO_IDS},
               list_transform(newest, lambda watch: epoch_us(watch.{EVENT_TIME})) AS {EVENT_TIMES},
               list_transform(newest, lambda watch: watch.{ACTIONS}) AS {ACTIONS}
        FROM (SELECT {USER_ID},
                     list_reverse(max_by({watch}, ({EVENT_TIME}, {EVENT_ID}), {length})) AS newest
              FROM watches WHERE {EVENT_TIME} < TIMESTAMPTZ '{until.isoformat()}'
              GROUP BY {USER_ID})
        ORDER BY {USER_ID}
        """,
    )


def user_seen(
    watches: duckdb.DuckDBPyRelation, until: datetime, *, length: int = SEEN_LENGTH
) -> duckdb.DuckDBPyRelation:
    """``user_id, video_ids`` (sorted, distinct): the newest watches and all dislikes before ``until``."""
    newest = f"{EVENT_TIME} DESC, {EVENT_ID} DESC"
    return _query(
        watches,
        f"""
        SELECT {USER_ID}, list_sort(list(DISTINCT {VIDEO_ID})) AS {VIDEO_IDS}
        FROM (SELECT * FROM watches WHERE {EVENT_TIME} < TIMESTAMPTZ '{until.isoformat()}'
              QUALIFY row_number() OVER (PARTITION BY {USER_ID} ORDER BY {newest}) <= {length}
                      OR {ACTIONS} & {Action.DISLIKED.value} <> 0)
        GROUP BY {USER_ID} ORDER BY {USER_ID}
        """,
    )


def _query(watches: duckdb.DuckDBPyRelation, query: str) -> duckdb.DuckDBPyRelation:
    found = watches.query("watches", query)
    assert found is not None, "a SELECT has a result"
    return found


def pad_histories(
    histories: Sequence[History], vocabulary: Vocabulary, *, length: int, now: datetime
) -> HistoryBatch:
    """Map ids to rows, keep the newest ``length`` known videos, pad on the left.

    Args:
        now: ages are counted from here; watches after it get age 0.
    """
    shape = (len(histories), length)
    rows = np.full(shape, PAD_ROW, dtype=np.int64)
    actions = np.zeros(shape, dtype=np.int64)
    ages = np.zeros(shape, dtype=np.float32)
    now_us = int(now.timestamp() * 1_000_000)
    num_unknown = 0
    for i, history in enumerate(histories):
        found = vocabulary.rows_of(np.asarray(history.video_ids, dtype=np.int64))
        known = np.flatnonzero(found != PAD_ROW)
        num_unknown += len(found) - len(known)
        kept = known[-length:]
        if len(kept):
            rows[i, -len(kept) :] = found[kept]
            actions[i, -len(kept) :] = np.asarray(history.actions, dtype=np.int64)[kept]
            elapsed = now_us - np.asarray(history.event_times, dtype=np.int64)[kept]
            ages[i, -len(kept) :] = elapsed.clip(min=0) / MICROSECONDS_PER_DAY
    return HistoryBatch(rows, actions, ages, num_unknown)
