"""item2vec: skip-gram over what users watched, as if sessions were sentences and videos words.

Barkan and Koenigstein, Item2Vec: Neural Item Embedding for Collaborative Filtering, MLSP 2016. The paper's
contexts are sets without order (``shuffle``, with a wide ``window``). A search goes from input to output
vectors, see ``training/embeddings.py``.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from features.vocabulary import Vocabulary
from training.dataset import WHOLE_PAST, WatchLog
from training.embeddings import trained_embeddings
from training.models import Run, Trained
from training.sessions import Sessions, SessionsConfig
from training.skip_gram import skip_gram


class Item2vecConfig(SessionsConfig):
    """What a sentence is."""

    shuffle: bool = False
    """Forget the order within a session, anew in each epoch."""


Config = Item2vecConfig


def train(config: Item2vecConfig, run: Run) -> Trained:
    """Train on the sessions before ``run.until``.

    Raises:
        BadInputError: there are none.
    """
    log = WatchLog(run.lake, run.until, config.rule)
    vocabulary = Vocabulary(log.watched_videos(run.until, config.min_watches))
    sessions = Sessions.of(log.sequences(run.until, WHOLE_PAST), vocabulary, config)
    counts = np.bincount(sessions.rows, minlength=vocabulary.num_rows).astype(float)
    inputs, outputs = skip_gram(Sentences(sessions, config), counts, config)
    return trained_embeddings(log, vocabulary, inputs, outputs, config)


class Sentences:
    """Sessions in a random order, another one in each epoch."""

    def __init__(self, sessions: Sessions, config: Item2vecConfig) -> None:
        self._sessions = sessions
        self._shuffle = config.shuffle
        self._random = np.random.default_rng(config.seed)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Int64[np.ndarray, " _"]]:
        bounds = self._sessions.bounds
        for session in self._random.permutation(len(self)).tolist():
            rows = self._sessions.rows[bounds[session] : bounds[session + 1]]
            yield self._random.permutation(rows) if self._shuffle else rows
