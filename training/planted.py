"""Found interests against planted ones, on a simulated log: which topics a user's interests are about.

An interest is what its search brings up. Its tag distribution goes by topic, since every tag of the
simulated app belongs to one; the interests of a user are then assigned to the user's planted topics by the
greatest total share (Hungarian method, scipy). An assigned pair whose share is at least ``MIN_SHARE`` is a
hit; other searched interests are wrong, other planted topics are missing.

Shape letters: B users, K interests, M hits of an interest, T topics, S places of a list of topics.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment

from features.lake import connect
from features.schema import TAG_ID, USER_ID
from features.settings import Settings
from features.sources.truth import DAY, TAGS_FILE, TOPIC, TOPICS, USERS_FILE
from training.catalogue import Catalogue
from training.dataset import IdLists

MIN_SHARE: Final = 0.3
"""Share of an interest's tags that a topic must have to be what the interest is about."""


@dataclass(frozen=True, slots=True)
class Planted:
    """The topics that users cared for on one day, and the topic of each tag."""

    topics: IdLists
    """Topics by user, heaviest first."""
    topic_of_tag: Int64[np.ndarray, " G"]
    num_topics: int

    @classmethod
    def read(cls, settings: Settings, day: str) -> "Planted":
        """What the simulator planted, as of the end of ``day``."""
        tags = pq.read_table(settings.truth / TAGS_FILE)
        topic_of_tag = np.full(tags[TAG_ID].to_numpy().max() + 1, -1, dtype=np.int64)
        topic_of_tag[tags[TAG_ID].to_numpy()] = tags[TOPIC].to_numpy()
        users = _users_of(settings.truth / USERS_FILE, day)
        return cls(users, topic_of_tag, int(topic_of_tag.max()) + 1)

    def shuffled(self, seed: int) -> "Planted":
        """Every user with the topics of another one: what a match by chance looks like."""
        places = np.random.default_rng(seed).permutation(len(self.topics.keys))
        offsets, ids = self.topics.offsets, self.topics.ids
        lists = [ids[offsets[place] : offsets[place + 1]] for place in places]
        bounds = np.cumsum([0, *(len(topics) for topics in lists)])
        return Planted(
            IdLists(self.topics.keys, bounds, np.concatenate(lists)), self.topic_of_tag, self.num_topics
        )


@dataclass(frozen=True, slots=True)
class Match:
    """Interests against planted topics, of each user."""

    num_planted: Int64[np.ndarray, " B"]
    share: Float[np.ndarray, " B"]
    """Mean share of the assigned topic among an interest's tags."""
    num_hits: Int64[np.ndarray, " B"]
    num_wrong: Int64[np.ndarray, " B"]
    num_missing: Int64[np.ndarray, " B"]


def match_interests(
    user_ids: Int64[np.ndarray, " B"], shares: Float[np.ndarray, "B K T"], planted: Planted
) -> Match:
    """Assign the interests of each user to the user's planted topics.

    Args:
        shares: topics of each interest, see ``topic_shares``; all zero for one that was not searched.
    """
    places, topics = planted.topics.pairs(user_ids)
    bounds = np.searchsorted(places, np.arange(len(user_ids) + 1))
    columns = []
    for place, of_user in enumerate(shares):
        mine = topics[bounds[place] : bounds[place + 1]]
        searched = of_user[of_user.any(axis=1)]
        rows, chosen = linear_sum_assignment(searched[:, mine], maximize=True)
        assigned = searched[rows, mine[chosen]]
        hits = int((assigned >= MIN_SHARE).sum())
        mean = float(assigned.mean()) if len(assigned) else 0.0
        columns.append((len(mine), mean, hits, len(searched) - hits, len(mine) - hits))
    num_planted, share, hits_, wrong, missing = np.array(columns).T if columns else np.zeros((5, 0))
    whole = [column.astype(np.int64) for column in (num_planted, hits_, wrong, missing)]
    return Match(whole[0], share.astype(np.float64), *whole[1:])


def topic_shares(
    found: Int64[np.ndarray, "B K M"],
    searched: Bool[np.ndarray, "B K"],
    catalogue: Catalogue,
    planted: Planted,
) -> Float[np.ndarray, "B K T"]:
    """Share of each topic among the tags of the videos that each interest found; zeros if not searched."""
    places, tags = catalogue.tags.pairs(found.reshape(-1))
    interests = places // found.shape[2]
    topics = planted.topic_of_tag[tags]
    num_interests = searched.size
    counts = np.bincount(
        interests * planted.num_topics + topics, minlength=num_interests * planted.num_topics
    )
    shares = counts.reshape(*searched.shape, planted.num_topics).astype(np.float64)
    shares /= np.maximum(shares.sum(axis=2, keepdims=True), 1)
    return shares * searched[:, :, None]


def _users_of(truth: Path, day: str) -> IdLists:
    query = f"""
        SELECT {USER_ID}, {TOPICS} FROM read_parquet($truth) WHERE {DAY} <= $day
        QUALIFY row_number() OVER (PARTITION BY {USER_ID} ORDER BY {DAY} DESC) = 1 ORDER BY {USER_ID}
    """
    table = connect().sql(query, params={"truth": str(truth), "day": day}).to_arrow_table()
    return IdLists.from_columns(table[USER_ID], table[TOPICS])
