"""The interests that the simulator planted in a user, beside those that were found; nothing in real homes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from features.days import day_of
from features.lake import connect, cursor
from features.schema import TAG_ID, USER_ID, VIDEO_ID
from features.settings import Settings
from features.sources.truth import (
    DAY,
    NAME,
    TAGS,
    TAGS_FILE,
    TOPIC,
    TOPICS,
    TOPICS_FILE,
    USERS_FILE,
    VIDEOS_FILE,
    WEIGHTS,
)
from serving.result import RecallResult

MIN_SHARE: Final = 0.3
"""Share of what an interest found that a topic must have to be what the interest is about."""


@dataclass(frozen=True, slots=True)
class PlantedInterest:
    """One topic that a user cares for."""

    topic: str
    weight: float
    """Share of the user's choices that it makes; the weights of a user add up to 1."""
    tags: list[str]
    """The user's favourites within the topic."""


@dataclass(frozen=True, slots=True)
class Met:
    """What came of a planted interest in one answer."""

    planted: PlantedInterest
    interests: list[tuple[int, float]]
    """Interests that are about it, with its share of what they found; the largest first."""
    num_candidates: int
    """Candidates of the answer that are about it."""


class Truth:
    """Reads the truth files of one home; a query each."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.truth
        self._duckdb = connect()

    def planted(self, user_id: int, moment: datetime) -> list[PlantedInterest]:
        """What was planted in the user by ``moment``, heaviest first; empty where nothing is known."""
        if not (self._folder / USERS_FILE).exists():
            return []
        query = f"""
            SELECT topics.{NAME}, weight, list_transform(favourites, lambda tag: names[tag])
            FROM (SELECT unnest({TOPICS}) AS {TOPIC}, unnest({WEIGHTS}) AS weight,
                         unnest(list_transform(range(len({TOPICS})), lambda i:
                             {TAGS}[i * 2 + 1 : i * 2 + 2])) AS favourites
                  FROM (SELECT * FROM read_parquet($users) WHERE {USER_ID} = $user_id AND {DAY} <= $day
                        ORDER BY {DAY} DESC LIMIT 1))
            JOIN read_parquet($topics) AS topics USING ({TOPIC}),
                 (SELECT map(list({TAG_ID}), list({NAME})) AS names FROM read_parquet($tags))
            ORDER BY weight DESC
        """
        files = {"users": USERS_FILE, "topics": TOPICS_FILE, "tags": TAGS_FILE}
        paths = {name: str(self._folder / file) for name, file in files.items()}
        values = paths | {"user_id": user_id, "day": day_of(moment)}
        return [PlantedInterest(*row) for row in cursor(self._duckdb).execute(query, values).fetchall()]

    def topics(self, video_ids: Iterable[int]) -> dict[int, str]:
        """Topic of each of the videos."""
        if not (self._folder / VIDEOS_FILE).exists():
            return {}
        query = f"""
            SELECT {VIDEO_ID}, {NAME} FROM read_parquet($videos) JOIN read_parquet($topics) USING ({TOPIC})
            WHERE list_contains($ids, {VIDEO_ID})
        """
        values = {
            "videos": str(self._folder / VIDEOS_FILE),
            "topics": str(self._folder / TOPICS_FILE),
            "ids": sorted(set(video_ids)),
        }
        return dict(cursor(self._duckdb).execute(query, values).fetchall())


def met(planted: Sequence[PlantedInterest], result: RecallResult, topics: dict[int, str]) -> list[Met]:
    """What came of each planted interest."""
    about: dict[str, list[tuple[int, float]]] = {}
    for interest in result.interests:
        found = [
            *interest.nearest,
            *(c.video_id for c in result.candidates if c.interest == interest.interest),
        ]
        counts = Counter(topics[video_id] for video_id in set(found) if video_id in topics)
        for topic, count in counts.items():
            if (share := count / counts.total()) >= MIN_SHARE:
                about.setdefault(topic, []).append((interest.interest, share))
    listed = Counter(topics.get(candidate.video_id) for candidate in result.candidates)
    return [
        Met(each, sorted(about.get(each.topic, []), key=lambda found: -found[1]), listed[each.topic])
        for each in planted
    ]
