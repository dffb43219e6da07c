"""Skip-gram with negative sampling over sequences of videos, by gensim.

Mikolov et al., Distributed Representations of Words and Phrases and their Compositionality, NeurIPS 2013.
A corpus is anything that can be iterated once per epoch; it may draw its sequences anew each time, so that
nothing has to lie in memory. One thread, since several do not give the same vectors twice.

Shape letters: R rows of the vocabulary (row 0 is padding), D dimensions.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from features.errors import BadInputError
from features.schema import PAD_ROW
from training.embeddings import EmbeddingsConfig


class SkipGramConfig(EmbeddingsConfig):
    """What the skip-gram is told."""

    seed: int = 7
    """Fixes initial vectors, sequences and negatives."""
    dim: PositiveInt = 64
    """Width of the vectors (D)."""
    epochs: PositiveInt = 10
    """Passes over the corpus."""
    window: PositiveInt = 3
    """Videos before and after one that count as its context; each time a random part of so many."""
    num_negatives: PositiveInt = 5
    """Random videos against each one of the context."""
    noise_power: float = 0.0
    """Negatives are drawn by watches to this power. A score is log(joint / (own * noise)): 1 leaves what goes
    beyond popularity, 0 the popularity in it, 0.75 is usual for words."""
    learning_rate: PositiveFloat = 0.1
    """At the start; it falls linearly to nearly nothing."""
    subsampling: NonNegativeFloat = 0.0
    """Frequent videos are left out at random beyond about this share of the corpus; 0: none."""


@runtime_checkable
class Corpus(Protocol):
    """Sequences of video rows; drawn anew by each iteration, as many each time."""

    def __len__(self) -> int:
        """Number of sequences."""
        ...

    def __iter__(self) -> Iterator[Int64[np.ndarray, " _"]]:
        """One epoch."""
        ...


def skip_gram(
    corpus: Corpus, counts: Float[np.ndarray, " R"], config: SkipGramConfig
) -> tuple[Float32[np.ndarray, "R D"], Float32[np.ndarray, "R D"]]:
    """``(inputs, outputs)`` by row; zeros for videos that are in no sequence.

    Args:
        counts: how often each row comes in the corpus, up to a factor; 0 for those that never come.

    Raises:
        BadInputError: there is no sequence at all.
    """
    from gensim.models import Word2Vec

    rows = np.flatnonzero(counts)
    if not len(rows) or not len(corpus):
        raise BadInputError("no two videos were watched after each other; ingest more days")
    model = Word2Vec(
        vector_size=config.dim,
        alpha=config.learning_rate,
        window=config.window,
        min_count=0,
        sample=config.subsampling,
        seed=config.seed,
        workers=1,
        sg=1,
        hs=0,
        negative=config.num_negatives,
        ns_exponent=config.noise_power,
    )
    names = np.array([str(row) for row in range(len(counts))], dtype=object)
    model.build_vocab_from_freq(dict(zip(names[rows], counts[rows].tolist(), strict=True)))
    model.train(_Words(corpus, names), total_examples=len(corpus), epochs=config.epochs)
    inputs, outputs = (np.zeros((len(counts), config.dim), dtype=np.float32) for _ in range(2))
    order = np.array(model.wv.index_to_key, dtype=np.int64)
    inputs[order], outputs[order] = model.wv.vectors, model.syn1neg
    assert not inputs[PAD_ROW].any(), "no sequence holds padding"
    return inputs, outputs


class _Words:
    """A corpus as gensim reads it: lists of strings."""

    def __init__(self, corpus: Corpus, names: np.ndarray) -> None:
        self._corpus, self._names = corpus, names

    def __iter__(self) -> Iterator[list[str]]:
        for rows in self._corpus:
            yield self._names[rows].tolist()
