"""PinnerSage: Ward clusters of a user's watches over vectors that exist already; no network is trained.

Pal et al., PinnerSage: Multi-Modal User Embedding Framework for Recommendations at Pinterest, KDD 2020:
the positives of a user are clustered hierarchically (section 4.1, Ward's criterion, cut at a merge distance),
a cluster is represented by its medoid (4.2), and its importance is a sum with time decay (4.3):
``sum_i exp(-decay * age_days_i)``. Departure: of the clusters, the ``max_interests`` most important are
stored, where the paper samples three at each request.

Ward's distance between two clusters of single vectors is their Euclidean distance; on unit vectors a cut at
.8 merges single videos whose cosine is above .68. The linkage is SciPy's.

Shape letters: N positives of one user, K clusters, D dimensions.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
import structlog
from jaxtyping import Float, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.cluster.hierarchy import fcluster, linkage

from features.bundle import (
    ITEM_VECTORS,
    STORED_INTERESTS_KIND,
    USER_INTERESTS,
    VOCABULARY,
    Bundle,
    open_bundle,
)
from features.errors import BadInputError
from features.history import MICROSECONDS_PER_DAY
from features.positives import Action
from features.schema import PAD_ROW
from features.user_vectors import pack_user_vectors
from training.config import ModelConfig
from training.dataset import Sequences, WatchLog
from training.models import Run, Trained

log = structlog.get_logger(__name__)
USERS_PER_TASK: Final = 2000


class PinnersageConfig(ModelConfig):
    """Which vectors are clustered, and how."""

    vectors: str = ""
    """Bundle whose item vectors are clustered and searched: ``<model>/<version>``."""
    history_length: PositiveInt = 200
    """Newest watches of a user whose positives are clustered."""
    merge_distance: PositiveFloat = 1.0
    """Ward distance above which clusters stay apart; 2 or more puts nearly everything together."""
    max_interests: PositiveInt = 8
    """Clusters kept per user, the most important ones."""
    decay: NonNegativeFloat = 0.01
    """Per day: how fast a watch loses importance."""
    is_mean: bool = False
    """The mean of a cluster in place of its medoid."""


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
        sequences, source, run.until, config, num_processes=run.num_threads
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
    sequences: Sequences, source: Bundle, until: datetime, config: PinnersageConfig, *, num_processes: int = 1
) -> tuple[Int64[np.ndarray, " U"], list[np.ndarray], list[np.ndarray]]:
    """``(user_ids, vectors (K, D) of each, weights (K) of each)`` of the users with a known positive."""
    tasks = list(_tasks(sequences, source, until, config))
    if num_processes == 1:
        parts = [_cluster_block(*task) for task in tasks]
    else:
        with ProcessPoolExecutor(num_processes, get_context("spawn")) as pool:
            parts = list(pool.map(_cluster_block, *zip(*tasks, strict=True))) if tasks else []
    found = [clusters for part in parts for clusters in part]
    kept = [place for place, clusters in enumerate(found) if clusters is not None]
    vectors = [clusters[0] for clusters in found if clusters is not None]
    weights = [clusters[1] for clusters in found if clusters is not None]
    return sequences.user_ids[np.array(kept, dtype=np.int64)], vectors, weights


def ward_clusters(
    vectors: Float[np.ndarray, "N D"], ages: Float[np.ndarray, " N"], config: PinnersageConfig
) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, " K"]]:
    """Representatives and importances of one user's clusters, the most important first."""
    labels = np.ones(1, dtype=np.int64)
    if len(vectors) > 1:
        labels = fcluster(linkage(vectors, method="ward"), config.merge_distance, criterion="distance")
    importance = np.bincount(labels, np.exp(-config.decay * ages))[1:]
    order = np.argsort(-importance, kind="stable")[: config.max_interests]
    members = [vectors[labels == cluster + 1] for cluster in order]
    represent = _mean if config.is_mean else _medoid
    return np.stack([represent(own) for own in members]), importance[order]


def _medoid(members: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " D"]:
    """The member with the least sum of squared distances to the others: the one nearest to the mean."""
    return members[np.square(members - members.mean(axis=0)).sum(axis=1).argmin()]


def _mean(members: Float[np.ndarray, "n D"]) -> Float[np.ndarray, " D"]:
    mean = members.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-9)


def _tasks(
    sequences: Sequences, source: Bundle, until: datetime, config: PinnersageConfig
) -> Iterator[tuple[list[np.ndarray], list[np.ndarray], PinnersageConfig]]:
    rows = source.vocabulary.rows_of(sequences.video_ids)
    ages = (until.timestamp() * 1e6 - sequences.times_us) / MICROSECONDS_PER_DAY
    wanted = (rows != PAD_ROW) & ((sequences.actions & Action.POSITIVE.value) != 0)
    ends = np.append(0, wanted.cumsum())[sequences.offsets]
    vectors, ages = source.vectors[rows[wanted] - 1], ages[wanted]
    for first in range(0, len(sequences), USERS_PER_TASK):
        bounds = ends[first : first + USERS_PER_TASK + 1]
        yield (
            [vectors[a:b] for a, b in pairwise(bounds)],
            [ages[a:b] for a, b in pairwise(bounds)],
            config,
        )


def _cluster_block(
    vectors: list[np.ndarray], ages: list[np.ndarray], config: PinnersageConfig
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    return [
        ward_clusters(own, old, config) if len(own) else None for own, old in zip(vectors, ages, strict=True)
    ]


def _source(config: PinnersageConfig, run: Run) -> Bundle:
    if not config.vectors or run.bundles is None:
        raise BadInputError(
            "pinnersage clusters the vectors of another bundle; name it with --set vectors=<model>/<version>"
        )
    return open_bundle(run.bundles / config.vectors)
