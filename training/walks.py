"""The graph of consecutive watches, and biased random walks over it.

Grover and Leskovec, node2vec: Scalable Feature Learning for Networks, KDD 2016, section 3.2: from v, having
come from t, the walk goes on to x by weight(v, x) times 1/p if x is t, 1 if x is a neighbour of t, 1/q
otherwise. The paper keeps an alias table per edge: memory as the sum over edges of the degree of their end.
Here x is proposed by the weights alone and accepted by the factor (rejection sampling; Yang et al.,
KnightKing, SOSP 2019), for all walkers at once: exact, and nothing is kept beside the graph.

Shape letters: R nodes, the rows of the vocabulary; W walkers, S steps.
"""

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int64

from training.sessions import Sessions


def watch_graph(sessions: Sessions, places: int, num_rows: int) -> scipy.sparse.csr_array:
    """(R, R): how often two videos were watched at most ``places`` apart in one session; symmetric."""
    rows, numbers = sessions.rows, sessions.numbers()
    pairs = []
    for apart in range(1, places + 1):
        before, after = rows[:-apart], rows[apart:]
        is_pair = (numbers[:-apart] == numbers[apart:]) & (before != after)
        pairs.append(np.stack([before[is_pair], after[is_pair]]))
    before, after = np.concatenate(pairs, axis=1)
    ends = np.concatenate([before, after]), np.concatenate([after, before])
    graph = scipy.sparse.coo_array((np.ones(len(ends[0])), ends), shape=(num_rows, num_rows)).tocsr()
    graph.sort_indices()
    return graph


class Walker:
    """Walks over a weighted graph.

    Args:
        graph: symmetric, with ascending columns and positive weights.
        p: 1/p is the factor on going back.
        q: 1/q is the factor on leaving the neighbourhood of where the walk came from.
    """

    def __init__(self, graph: scipy.sparse.csr_array, *, p: float, q: float) -> None:
        self._bounds = graph.indptr.astype(np.int64)
        self._neighbours = graph.indices.astype(np.int64)
        self._until = graph.data.cumsum()
        totals = np.append(0.0, self._until)[self._bounds]
        self._before, self._total = totals[:-1], np.diff(totals)
        self._num_nodes = graph.shape[0]
        sources = np.repeat(np.arange(self._num_nodes), np.diff(self._bounds))
        self._edges = sources * self._num_nodes + self._neighbours  # ascending
        self._back, self._away = 1 / p, 1 / q

    def walk(
        self, starts: Int64[np.ndarray, " W"], length: int, random: np.random.Generator
    ) -> Int64[np.ndarray, "W S"]:
        """One walk of ``length`` nodes from each start, which must have a neighbour."""
        paths = np.empty((length, len(starts)), dtype=np.int64)
        paths[0] = starts
        for step in range(1, length):
            if step == 1 or self._back == self._away == 1:
                paths[step] = self._propose(paths[step - 1], random)
            else:
                paths[step] = self._step(paths[step - 2], paths[step - 1], random)
        return paths.T

    def _step(
        self, came_from: Int64[np.ndarray, " W"], at: Int64[np.ndarray, " W"], random: np.random.Generator
    ) -> Int64[np.ndarray, " W"]:
        """Proposals, drawn again wherever one is turned down."""
        highest = max(self._back, self._away, 1.0)
        found = np.empty_like(at)
        left = np.arange(len(at))
        while len(left):
            proposed = self._propose(at[left], random)
            near = self._are_linked(came_from[left], proposed)
            factor = np.where(near, 1.0, self._away)
            factor[proposed == came_from[left]] = self._back
            accepted = random.random(len(left)) * highest < factor
            found[left[accepted]] = proposed[accepted]
            left = left[~accepted]
        return found

    def _propose(self, at: Int64[np.ndarray, " W"], random: np.random.Generator) -> Int64[np.ndarray, " W"]:
        """A neighbour of each node by weight."""
        aim = self._before[at] + random.random(len(at)) * self._total[at]
        edges = np.searchsorted(self._until, aim, side="right")
        return self._neighbours[edges.clip(self._bounds[at], self._bounds[at + 1] - 1)]  # rounding

    def _are_linked(self, a: Int64[np.ndarray, " W"], b: Int64[np.ndarray, " W"]) -> Bool[np.ndarray, " W"]:
        keys = a * self._num_nodes + b
        places = np.searchsorted(self._edges, keys).clip(max=len(self._edges) - 1)
        return self._edges[places] == keys
