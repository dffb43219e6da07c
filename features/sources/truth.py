"""What only the simulator knows, as files in ``Settings.truth``: to judge models by, never to train on."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from features import schema
from features.settings import Settings
from features.sources.interests import Interests
from features.sources.landing_writer import write_parquet
from features.sources.simulation import SimulationConfig
from features.sources.topics import TAGS_PER_TOPIC, tag_names, topic_names
from features.sources.world import Videos

TOPIC = "topic"
NAME = "name"
DAY = "day"
TOPICS = "topics"
WEIGHTS = "weights"
TAGS = "tags"
NUM_INTERESTS = "num_interests"
KIND = "kind"
ROWS = "rows"
USERS_FILE = "users.parquet"
TOPICS_FILE = "topics.parquet"
TAGS_FILE = "tags.parquet"
VIDEOS_FILE = "videos.parquet"
DIRT_FILE = "dirt.parquet"


def interests_table(interests: Interests, users: Int[np.ndarray, " N"], day: str) -> pa.Table:
    """Dominant interests of ``users`` from ``day`` on: one row per user, heaviest interest first."""
    order = np.argsort(-interests.weights[users], axis=1, kind="stable")
    weights = np.take_along_axis(interests.weights[users], order, axis=1)
    topics = np.take_along_axis(interests.dominant_topics()[users], order, axis=1)
    favourites = np.take_along_axis(interests.dominant_favourites()[users], order[:, :, None], axis=1)
    held = weights > 0
    return pa.table(
        {
            schema.USER_ID: pa.array(users, pa.int64()),
            DAY: pa.array([day] * users.size, pa.string()),
            NUM_INTERESTS: pa.array(held.sum(axis=1), pa.int64()),
            TOPICS: _lists(topics, held),
            WEIGHTS: _lists(weights.round(6), held),
            TAGS: _lists(favourites, held),
        }
    )


def write_truth(
    settings: Settings,
    config: SimulationConfig,
    videos: Videos,
    interests: Iterable[pa.Table],
    dirt: list[tuple[str, str, int]],
) -> None:
    """Write all truth files; ``dirt`` holds (landing day, kind, rows)."""
    topics, tags = topic_names(config.num_topics), tag_names(config.num_topics)
    files = {
        USERS_FILE: pa.concat_tables(interests),
        TOPICS_FILE: pa.table({TOPIC: pa.array(range(len(topics)), pa.int64()), NAME: topics}),
        TAGS_FILE: pa.table(
            {
                schema.TAG_ID: pa.array(range(len(tags)), pa.int64()),
                NAME: tags,
                TOPIC: pa.array([tag // TAGS_PER_TOPIC for tag in range(len(tags))], pa.int64()),
            }
        ),
        VIDEOS_FILE: pa.table(
            {schema.VIDEO_ID: pa.array(range(videos.topics.size), pa.int64()), TOPIC: videos.topics}
        ),
        DIRT_FILE: pa.table(
            {
                schema.LANDING_DAY: pa.array([day for day, _, _ in dirt], pa.string()),
                KIND: pa.array([kind for _, kind, _ in dirt], pa.string()),
                ROWS: pa.array([rows for _, _, rows in dirt], pa.int64()),
            }
        ),
    }
    for name, table in files.items():
        write_parquet(settings.truth / name, table)


def _lists(values: np.ndarray, held: Bool[np.ndarray, "N S *F"]) -> pa.Array:
    """One list per row with the values of its held slots (two per slot for favourite tags)."""
    per_slot = values.shape[2] if values.ndim == 3 else 1
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1) * per_slot)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values[held].reshape(-1)))
