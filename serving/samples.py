"""Queries as users cause them, to try a collection with before it goes live.

Interest vectors lie elsewhere than item vectors: an index that finds the neighbours of videos may miss those
of interests. So a bundle is tried with interests of its own users, as far as there are any.

Shape letters: K interests of one user that are searched, D dimensions.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from features.bundle import INTERESTS_KIND, STORED_INTERESTS_KIND, Bundle
from features.days import end_of
from features.history import History
from features.lake import connect
from features.live_items import VectorTable
from features.schema import ACTIONS, EVENT_TIMES, USER_ID, VIDEO_IDS
from features.settings import Settings
from features.snapshots import USER_HISTORY, snapshot_days, snapshot_path
from features.sql import literal
from features.user_vectors import StoredVectors
from serving.interests import InterestExtractor

SAMPLED_USERS: Final = 50
SEED: Final = 0

Queries = list[Float32[np.ndarray, "_ D"]]
"""Of each user, the interests that are searched together."""


def sampled_queries(bundle: Bundle, videos: VectorTable, settings: Settings) -> Queries:
    """Interests of users; vectors of videos, one each, where the bundle knows no user.

    Args:
        videos: of the collection; their vectors stand in.
    """
    found: Queries = []
    if bundle.manifest.kind == STORED_INTERESTS_KIND:
        found = list(_stored(bundle))
    elif bundle.manifest.kind == INTERESTS_KIND:
        found = list(_extracted(bundle, settings))
    return found or item_queries(videos)


def item_queries(videos: VectorTable) -> Queries:
    """Vectors of some videos, one each."""
    places = np.random.default_rng(SEED).permutation(len(videos.video_ids))[:SAMPLED_USERS]
    return [videos.vectors[place : place + 1] for place in places.tolist()]


def _stored(bundle: Bundle) -> Iterator[Float32[np.ndarray, "_ D"]]:
    users = bundle.user_interests[USER_ID].to_numpy()
    stored = StoredVectors(bundle.user_interests)
    for user_id in np.random.default_rng(SEED).permutation(users)[:SAMPLED_USERS].tolist():
        if (own := stored.of_user(user_id)) is not None:
            yield own.vectors


def _extracted(bundle: Bundle, settings: Settings) -> Iterator[Float32[np.ndarray, "_ D"]]:
    """By the bundle's own extractor from the newest histories of the feature store."""
    if not (days := snapshot_days(settings)):
        return
    extractor = InterestExtractor(bundle)
    for row in _histories(settings, days[-1]).to_pylist():
        history = History(row[VIDEO_IDS], row[EVENT_TIMES], row[ACTIONS])
        interests = extractor.extract(row[USER_ID], history, end_of(days[-1]))
        if interests is not None:
            yield interests.vectors[interests.is_searched]


def _histories(settings: Settings, day: str) -> pa.Table:
    file = literal(str(snapshot_path(settings, USER_HISTORY, day)))
    connection = connect()
    try:
        return connection.sql(
            f"SELECT {USER_ID}, {VIDEO_IDS}, {EVENT_TIMES}, {ACTIONS} FROM read_parquet({file}) "
            f"USING SAMPLE reservoir({SAMPLED_USERS} ROWS) REPEATABLE ({SEED})"
        ).to_arrow_table()
    finally:
        connection.close()
