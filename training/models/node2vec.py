"""node2vec: skip-gram over biased random walks on the graph of consecutive watches.

Grover and Leskovec, node2vec: Scalable Feature Learning for Networks, KDD 2016. Two videos are linked as
often as a user watched them within ``pair_places`` of each other. Walks pass from session to session through
a video that both know: what item2vec cannot see in one window. They are drawn anew in each epoch. A search
goes from input to output vectors, see ``training/embeddings.py``.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64
from pydantic import PositiveFloat, PositiveInt

from features.vocabulary import Vocabulary
from training.dataset import WHOLE_PAST, WatchLog
from training.embeddings import trained_embeddings
from training.models import Run, Trained
from training.sessions import Sessions, SessionsConfig
from training.skip_gram import skip_gram
from training.walks import Walker, watch_graph


class Node2vecConfig(SessionsConfig):
    """The graph and the walks."""

    epochs: PositiveInt = 10
    """Times that all walks are drawn and read."""
    window: PositiveInt = 1
    """Videos before and after one in a walk that count as its context; further ones blur what is near."""
    pair_places: PositiveInt = 5
    """Two watches of a session this far apart link their videos."""
    walk_length: PositiveInt = 20
    """Videos of a walk."""
    walks_per_video: PositiveInt = 10
    """Walks of an epoch, over the number of videos."""
    starts_power: float = 1.0
    """Walks start at a video by its links to this power: 0 everywhere alike, 1 where users watch."""
    p: PositiveFloat = 1.0
    """Above 1 a walk seldom turns back."""
    q: PositiveFloat = 1.0
    """Above 1 a walk stays near where it came from, below 1 it goes far."""


Config = Node2vecConfig


def train(config: Node2vecConfig, run: Run) -> Trained:
    """Train on walks over the sessions before ``run.until``.

    Raises:
        BadInputError: no two videos were watched after each other.
    """
    log = WatchLog(run.lake, run.until, config.rule)
    vocabulary = Vocabulary(log.watched_videos(run.until, config.min_watches))
    sessions = Sessions.of(log.sequences(run.until, WHOLE_PAST), vocabulary, config)
    graph = watch_graph(sessions, config.pair_places, vocabulary.num_rows)
    links = graph.sum(axis=1)
    inputs, outputs = skip_gram(Walks(Walker(graph, p=config.p, q=config.q), links, config), links, config)
    return trained_embeddings(log, vocabulary, inputs, outputs, config)


class Walks:
    """Random walks, others in each epoch.

    Args:
        links: of each row; rows without any are never visited.
    """

    def __init__(self, walker: Walker, links: np.ndarray, config: Node2vecConfig) -> None:
        self._walker = walker
        self._config = config
        self._nodes = np.flatnonzero(links)
        self._chances = links[self._nodes] ** config.starts_power
        self._random = np.random.default_rng(config.seed)

    def __len__(self) -> int:
        return len(self._nodes) * self._config.walks_per_video

    def __iter__(self) -> Iterator[Int64[np.ndarray, " _"]]:
        chances = self._chances / self._chances.sum()
        for _ in range(self._config.walks_per_video):
            starts = self._random.choice(self._nodes, size=len(self._nodes), p=chances)
            yield from self._walker.walk(starts, self._config.walk_length, self._random)
