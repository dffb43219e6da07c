"""What was pushed as it happened and what the daily ingest brings of it are the same events, counted once.

Every event of a simulated day is pushed in random order, some of them twice; then the day is ingested. At any
moment the history and the seen list that a look-up makes must be those of the events alone.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from features.days import end_of
from features.history import (
    SEEN_LENGTH,
    History,
    user_histories,
    user_seen,
    watches_with_actions,
)
from features.ingest import ingest
from features.lake import Lake, connect
from features.positives import PositiveRule
from features.recent import Recent, RecentWatch, append_recent, merge_recent, pack_recent, unpack_recent
from features.schema import VIDEOS, WATCHES
from features.settings import Settings
from features.sources.simulator import SimulationConfig, simulate

NUM_USERS = 600
LENGTH = 20  # of histories; short, so that many are cut
LAST = "2026-03-04"
Users = dict[int, History]


class Day:
    """All events of the simulated days, and what offline features say at the end of each."""

    def __init__(self, settings: Settings) -> None:
        self._sql = connect()
        lake = Lake(settings)
        videos = lake.scan(self._sql, VIDEOS, [LAST]).to_arrow_table()
        watches = lake.scan(self._sql, WATCHES).to_arrow_table()
        self._plays = watches_with_actions(
            self._sql.from_arrow(watches), self._sql.from_arrow(videos), PositiveRule()
        ).to_arrow_table()

    def histories(self, day: str) -> Users:
        """By user, at the end of ``day``."""
        rows = user_histories(self._sql.from_arrow(self._plays), end_of(day), length=LENGTH).fetchall()
        return {user: History(ids, times, actions) for user, ids, times, actions in rows}

    def seen(self, day: str) -> dict[int, list[int]]:
        """By user, at the end of ``day``."""
        return dict(user_seen(self._sql.from_arrow(self._plays), end_of(day)).fetchall())

    def events(self, day: str) -> dict[int, list[RecentWatch]]:
        """By user, in the order of time."""
        found = defaultdict(list)
        plays = self._sql.from_arrow(self._plays)
        ordered = plays.filter(f"event_time::DATE = DATE '{day}'").order("event_time, event_id")
        rows = ordered.project("user_id, epoch_us(event_time), event_id, video_id, actions")
        for user, *event in rows.fetchall():
            found[user].append(RecentWatch(*event))
        return found


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Day:
    settings = Settings(home=Path(tmp_path_factory.mktemp("home")))
    simulated = simulate(
        SimulationConfig(num_days=6, last_day=LAST, num_users=NUM_USERS, num_videos=500, seed=11), settings
    )
    ingest(simulated.days, settings=settings)
    return Day(settings)


def pushed(events: list[RecentWatch], chance: random.Random) -> Sequence[RecentWatch]:
    """What is kept after each event was pushed by itself, a third of them twice, in any order."""
    arriving = [*events, *chance.sample(events, len(events) // 3)]
    chance.shuffle(arriving)
    kept, until = Recent(), end_of(LAST)
    for event in arriving:
        kept = append_recent(unpack_recent(pack_recent(kept)), [event], now=until, known_until=None)
    return kept.watches


def equal(first: History, second: History) -> bool:
    pairs = ((first.video_ids, second.video_ids), (first.event_times, second.event_times))
    return all(list(a) == list(b) for a, b in (*pairs, (first.actions, second.actions)))


def test_no_user_differs_from_the_events_alone_before_or_after_the_ingest(days: Day) -> None:
    eve, chance = "2026-03-03", random.Random(3)
    before, after = days.histories(eve), days.histories(LAST)
    seen_before, seen_after = days.seen(eve), days.seen(LAST)
    events = days.events(LAST)
    nothing, differences, num_pushed = History((), (), ()), [], 0
    for user in sorted(after):
        recent = pushed(events.get(user, []), chance)
        num_pushed += len(recent)
        not_yet = merge_recent(before.get(user, nothing), recent, length=LENGTH)
        ingested = merge_recent(after[user], recent, length=LENGTH)
        ids = [watch.video_id for watch in recent]
        seen = [np.union1d(known.get(user, []), ids).tolist() for known in (seen_before, seen_after)]
        if not (equal(not_yet, after[user]) and equal(ingested, after[user])):
            differences.append(user)
        if not seen[0] == seen[1] == seen_after[user]:
            differences.append(user)
    assert differences == []
    assert len(after) > NUM_USERS * 0.9, "most users were compared"
    assert num_pushed == sum(map(len, events.values())) > 1000
    assert max(len(history.video_ids) for history in after.values()) == LENGTH, "some were cut"
    assert max(map(len, seen_after.values())) < SEEN_LENGTH


def test_a_history_that_counted_them_twice_would_be_noticed(days: Day) -> None:
    after, events = days.histories(LAST), days.events(LAST)
    doubled = 0
    for user, recent in events.items():
        history = after[user]
        ids = [*history.video_ids, *(watch.video_id for watch in recent)][-LENGTH:]
        doubled += ids != list(history.video_ids)
    assert doubled > 0.9 * len(events)
