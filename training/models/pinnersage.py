"""PinnerSage: Ward clusters of a user's watches over vectors that exist already; no network is trained.

Pal et al., PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest, KDD 2020:
the positives of a user are clustered hierarchically (section 4.1, Ward's criterion, cut at a merge distance),
a cluster is represented by its medoid (4.2), and its importance is a sum with time decay (4.3):
``sum_i exp(-decay * age_days_i)``. Departures: of the clusters, the ``max_interests`` most important are
stored, where the paper samples three at each request; and a cluster's vector is shortened by its importance,
so that what the small ones find does not crowd out what the large ones find.

What is clustered is the vector that a video has as something watched: what the other bundle's extractor
makes of a history of this one watch. For item2vec and node2vec these are the input vectors, whose angles tell
which videos are watched beside the same ones. What is searched are the item vectors. Bundles without an
extractor have one vector for both.

Ward's distance between two clusters of single vectors is their Euclidean distance; on unit vectors a cut at
.8 merges single videos whose cosine is above .68. The linkage is SciPy's, on the vectors at length 1.

Shape letters: N positives of one user, K clusters, D dimensions, V videos.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pyarrow.parquet as pq
import structlog
from jaxtyping import Float, Float32, Float64, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.cluster.hierarchy import fcluster, linkage

from features.bundle import (
    EXTRACTOR,
    INTERESTS_KIND,
    ITEM_VECTORS,
    STORED_INTERESTS_KIND,
    USER_INTERESTS,
    VOCABULARY,
    Bundle,
    open_bundle,
)
from features.errors import BadInputError
from features.history import MICROSECONDS_PER_DAY, HistoryBatch
from features.positives import Action
from features.schema import PAD_ROW
from features.user_vectors import pack_user_vectors
from features.vocabulary import Vocabulary
from training.config import ModelConfig, Share
from training.dataset import Sequences, WatchLog
from training.models import Run, Trained
from training.ranking import exported_extractor

log = structlog.get_logger(__name__)
USERS_PER_TASK: Final = 2000
TINY: Final = 1e-9


class PinnersageConfig(ModelConfig):
    """Which vectors are clustered, and how."""

    vectors: str = ""
    """Bundle whose vectors are clustered and searched: ``<model>/<version>``."""
    history_length: PositiveInt = 200
    """Newest watches of a user whose positives are clustered."""
    merge_distance: PositiveFloat = 1.0
    """Ward distance above which clusters stay apart; 2 or more puts nearly everything together."""
    max_interests: PositiveInt = 8
    """Clusters kept per user, the most important ones."""
    decay: NonNegativeFloat = 0.01
    """Per day: how fast a watch loses importance."""
    importance_power: Share = 0.25
    """Scores of a cluster are multiplied by its share of the greatest importance to this power; 0: not."""
    is_mean: bool = False
    """The direction of a cluster's mean in place of its medoid."""


Config = PinnersageConfig


def train(config: PinnersageConfig, run: Run) -> Trained:
    """Cluster the positives of every user before ``run.until``.

    Raises:
        BadInputError: no bundle with vectors is named, or there is none of that name.
    """
    source = _source(config, run)
    watches = WatchLog(run.lake, run.until, config.rule)
    sequences = watches.sequences(run.until, config.history_length)
    users, vectors, weights = cluster_users(
        sequences,
        source.vocabulary,
        watched_vectors(source),
        run.until,
        config,
        num_processes=run.num_threads,
    )
    table = pack_user_vectors(users, vectors, weights)
    log.info("users clustered", users=len(users), interests=sum(map(len, weights)), bytes=table.nbytes)

    def write(folder: Path) -> None:
        pq.write_table(table, folder / USER_INTERESTS)
        pq.write_table(source.items, folder / ITEM_VECTORS)
        pq.write_table(source.vocabulary.to_table(), folder / VOCABULARY)

    return Trained(
        kind=STORED_INTERESTS_KIND,
        source=watches.source(),
        num_videos=len(source.video_ids),
        write_files=write,
        num_interests=config.max_interests,
        dim=source.manifest.dim,
        metrics={"bytes_per_user": table.nbytes / max(len(users), 1)},
    )


def cluster_users(
    sequences: Sequences,
    vocabulary: Vocabulary,
    vectors: Float32[np.ndarray, "V D"],
    until: datetime,
    config: PinnersageConfig,
    *,
    num_processes: int = 1,
) -> tuple[Int64[np.ndarray, " U"], list[np.ndarray], list[np.ndarray]]:
    """``(user_ids, vectors (K, D) of each, weights (K) of each)`` of the users with a known positive.

    Args:
        vectors: of videos as something watched. Processes share one mapped copy.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npy"
        np.save(file, vectors)
        tasks = list(_tasks(sequences, vocabulary, until))
        cluster = partial(_cluster_block, file, config)
        if num_processes == 1:
            parts = [cluster(task) for task in tasks]
        else:
            with ProcessPoolExecutor(num_processes, get_context("spawn")) as pool:
                parts = list(pool.map(cluster, tasks))
    found = [clusters for part in parts for clusters in part]
    kept = [place for place, clusters in enumerate(found) if clusters is not None]
    representatives = [clusters[0] for clusters in found if clusters is not None]
    weights = [clusters[1] for clusters in found if clusters is not None]
    return sequences.user_ids[np.array(kept, dtype=np.int64)], representatives, weights


def ward_clusters(
    vectors: Float[np.ndarray, "N D"], ages: Float[np.ndarray, " N"], config: PinnersageConfig
) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, " K"]]:
    """Representatives and importances of one user's clusters, the most important first."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), TINY)
    labels = np.ones(1, dtype=np.int64)
    if len(vectors) > 1:
        labels = fcluster(linkage(vectors, method="ward"), config.merge_distance, criterion="distance")
    importance = np.bincount(labels, np.exp(-config.decay * ages))[1:]
    order = np.argsort(-importance, kind="stable")[: config.max_interests]
    importance = importance[order]
    members = [vectors[labels == cluster + 1] for cluster in order]
    represent = _mean if config.is_mean else _medoid
    lengths = (importance / importance[0]) ** config.importance_power
    return np.stack([represent(own) for own in members]) * lengths[:, None], importance


def _medoid(members: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " D"]:
    """The member with the least sum of squared distances to the others: the one nearest to the mean."""
    return members[np.square(members - members.mean(axis=0)).sum(axis=1).argmin()]


def _mean(members: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " D"]:
    mean = members.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), TINY)


def watched_vectors(source: Bundle) -> Float32[np.ndarray, "V D"]:
    """What each video of a bundle is as something watched, see the head of this file."""
    if source.manifest.kind != INTERESTS_KIND:
        return source.vectors
    extract = exported_extractor(source.path / EXTRACTOR)
    blocks = []
    for rows in np.array_split(np.arange(1, source.vocabulary.num_rows), len(source.vocabulary) // 1024 + 1):
        history = np.stack([np.full(len(rows), PAD_ROW), rows], axis=1)  # programs read two places at least
        actions = np.where(history == PAD_ROW, 0, Action.POSITIVE.value)
        ages = np.zeros(history.shape, dtype=np.float32)
        interests, activation = extract(HistoryBatch(history, actions, ages, num_unknown=0))
        blocks.append(interests[np.arange(len(rows)), activation.argmax(axis=1)])
    return np.concatenate(blocks)


@dataclass(frozen=True, slots=True)
class _Task:
    """Positives of some users; those of user u are ``[bounds[u], bounds[u + 1])``."""

    bounds: Int64[np.ndarray, " U1"]
    places: Int64[np.ndarray, " N"]
    """Of the videos among the vectors."""
    age_days: Float64[np.ndarray, " N"]


def _tasks(sequences: Sequences, vocabulary: Vocabulary, until: datetime) -> Iterator[_Task]:
    rows = vocabulary.rows_of(sequences.video_ids)
    age_days = (until.timestamp() * 1e6 - sequences.times_us) / MICROSECONDS_PER_DAY
    wanted = (rows != PAD_ROW) & ((sequences.actions & Action.POSITIVE.value) != 0)
    ends = np.append(0, wanted.cumsum())[sequences.offsets]
    places, age_days = rows[wanted] - 1, age_days[wanted]
    for first in range(0, len(sequences), USERS_PER_TASK):
        bounds = ends[first : first + USERS_PER_TASK + 1]
        own = slice(bounds[0], bounds[-1])
        yield _Task(bounds - bounds[0], places[own], age_days[own])


def _cluster_block(
    vectors_file: Path, config: PinnersageConfig, task: _Task
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    vectors = np.load(vectors_file, mmap_mode="r")
    found: list[tuple[np.ndarray, np.ndarray] | None] = []
    for start, end in pairwise(task.bounds):
        own = np.asarray(vectors[task.places[start:end]])
        found.append(ward_clusters(own, task.age_days[start:end], config) if len(own) else None)
    return found


def _source(config: PinnersageConfig, run: Run) -> Bundle:
    if not config.vectors or run.bundles is None:
        raise BadInputError(
            "pinnersage clusters the vectors of another bundle; name it with --set vectors=<model>/<version>"
        )
    return open_bundle(run.bundles / config.vectors)
