"""What the simulator planted, by name: whom the demo shows, and what their candidates are about."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.parquet as pq

from features.lake import Lake, connect
from features.schema import TITLE, USER_ID, VIDEO_ID, VIDEOS, WATCHES
from features.settings import Settings

MIN_WATCHES: Final = 80
"""Enough history for six interests."""


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A simulated user and the interests that were planted, heaviest first."""

    user_id: int
    planted: list[str]
    shares: list[float]
    num_watches: int


class World:
    """Names of topics, tags and videos of one simulation, and its users."""

    def __init__(self, settings: Settings, day: str, *, min_watches: int = MIN_WATCHES) -> None:
        self._truth = settings.truth
        self._lake = Lake(settings)
        self._day = day
        self._min_watches = min_watches
        self._topics = self._column("topics.parquet", "topic", "name")
        self.tags = self._column("tags.parquet", "tag_id", "name")
        topics = self._column("videos.parquet", VIDEO_ID, "topic")
        self.topic_of = {video: self._topics[topic] for video, topic in topics.items()}
        videos = self._lake.read_days(VIDEOS, [day]).select([VIDEO_ID, TITLE])
        self.titles = dict(zip(videos[VIDEO_ID].to_pylist(), videos[TITLE].to_pylist(), strict=True))

    def user_with(self, num_interests: int) -> DemoUser:
        """The first user by id with so many planted interests on the last day, and enough history."""
        connection = connect()
        connection.register("watches", self._lake.scan(connection, WATCHES))
        user_id, topics, weights, num_watches = connection.execute(
            f"""
            SELECT {USER_ID}, topics, weights, num_watches
            FROM (SELECT * FROM read_parquet($truth) WHERE day <= $day
                  QUALIFY row_number() OVER (PARTITION BY {USER_ID} ORDER BY day DESC) = 1)
            JOIN (SELECT {USER_ID}, count(*) AS num_watches FROM watches GROUP BY ALL) USING ({USER_ID})
            WHERE num_interests = $wanted AND num_watches >= {self._min_watches}
            ORDER BY {USER_ID} LIMIT 1
            """,
            {"truth": str(self._truth / "users.parquet"), "day": self._day, "wanted": num_interests},
        ).fetchall()[0]
        return DemoUser(user_id, [self._topics[topic] for topic in topics], weights, num_watches)

    def topic_counts(self, video_ids: Iterable[int]) -> list[tuple[str, int]]:
        """How many of the videos are about each topic, most frequent first."""
        return Counter(self.topic_of[video] for video in video_ids).most_common()

    def _column(self, file: str, key: str, value: str) -> dict[int, Any]:
        table = pq.read_table(self._truth / file)
        return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))
