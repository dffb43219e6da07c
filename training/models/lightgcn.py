"""LightGCN: vectors of users and videos, smoothed over the graph of who watched what.

He et al., LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR 2020. A
layer is a weighted sum over neighbours and nothing else (equation 3); the vectors are the mean of all layers
(equation 4):

    E' = D^-1/2 A D^-1/2 E,    A = [[0, R], [R', 0]]

R holds the weights of the watches as reasons. Every step computes all layers in full. ``loss=bpr`` is the
paper's (equation 15), ``softmax`` lets each target of a user compete with the videos, on unit vectors.
Departures: weights of watches in R, and the softmax. Users outside the graph have no vector; the bundle
stores those of the others, as interests with K = 1.

Shape letters: U users, V videos of the vocabulary, D dimensions, B users of a batch, E their targets,
N negatives.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse
import structlog
import torch
from jaxtyping import Float, Float32, Int64
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from features.bundle import ITEM_VECTORS, STORED_INTERESTS_KIND, USER_INTERESTS, VOCABULARY, item_table
from features.trend import write_trend
from features.user_vectors import pack_user_vectors
from training.dataset import WatchLog
from training.item_graph import Feedback, FeedbackConfig
from training.models import Run, Trained
from training.sampling import NegativeSampler

log = structlog.get_logger(__name__)


class LightgcnConfig(FeedbackConfig):
    """Size of the vectors, depth of the graph, and the loss."""

    seed: int = 7
    """Fixes initial vectors, batches and negatives."""
    dim: PositiveInt = 64
    """Width of the vectors (D)."""
    num_layers: NonNegativeInt = 2
    """Steps over the graph; 0 is matrix factorisation."""
    loss: Literal["softmax", "bpr"] = "softmax"
    """Targets compete with the videos, or each is compared with one random video."""
    temperature: PositiveFloat = 0.07
    """Divides the cosines in the softmax."""
    num_negatives: PositiveInt = 1024
    """Random videos of a step in the softmax, half of them by watches; from the size of the vocabulary on,
    all of it."""
    epochs: PositiveInt = 20
    """Passes over the users."""
    batch_size: PositiveInt = 2048
    """Users per step."""
    learning_rate: PositiveFloat = 1e-2
    """Peak of Adam's; it falls to zero as a cosine."""
    l2: NonNegativeFloat = 0.0
    """Penalty on the squared length of the vectors of layer 0 that a step touches, per target."""


Config = LightgcnConfig


def train(config: LightgcnConfig, run: Run) -> Trained:
    """Fit the vectors to the watches before ``run.until``."""
    torch.set_num_threads(run.num_threads)
    watches = WatchLog(run.lake, run.until, config.rule)
    feedback = Feedback.read(watches, config, run.until)
    graph = VectorGraph(feedback.history, config)
    fit(graph, feedback.targets, config)
    with torch.no_grad():
        users, videos = (part.numpy() for part in graph.final())
    known = np.flatnonzero(np.diff(feedback.history.indptr))
    users, videos = with_trend(users[known], videos, feedback.trend, graph.temperature)
    table = pack_user_vectors(
        feedback.user_ids[known], list(users[:, None]), [np.ones(1, dtype=np.float32)] * len(known)
    )

    def write(folder: Path) -> None:
        if (feedback.trend != 1).any():
            write_trend(folder, feedback.vocabulary.video_ids, feedback.trend)
        pq.write_table(table, folder / USER_INTERESTS)
        items = item_table(feedback.vocabulary.video_ids, videos, watches.videos())
        pq.write_table(items, folder / ITEM_VECTORS)
        pq.write_table(feedback.vocabulary.to_table(), folder / VOCABULARY)

    return Trained(
        kind=STORED_INTERESTS_KIND,
        source=watches.source(),
        num_videos=len(feedback.vocabulary),
        write_files=write,
        num_interests=1,
        dim=videos.shape[1],
    )


class VectorGraph(nn.Module):
    """The vectors of layer 0, and what the graph makes of them.

    Args:
        watched: (U, V), R of the head of this file.
    """

    def __init__(self, watched: scipy.sparse.csr_array, config: LightgcnConfig) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.users = nn.Parameter(0.1 * torch.randn(watched.shape[0], config.dim))
        self.videos = nn.Parameter(0.1 * torch.randn(watched.shape[1], config.dim))
        self.num_layers = config.num_layers
        self.is_unit = config.loss == "softmax"
        self.temperature = config.temperature if self.is_unit else 1.0
        weights = normalised(watched)
        self._to_users, self._to_videos = _sparse(weights), _sparse(weights.T.tocsr())

    def final(self) -> tuple[Float[Tensor, "U D"], Float[Tensor, "V D"]]:
        """Vectors of users and videos, the mean of all layers; of length 1 for the softmax."""
        users, videos = self.users, self.videos
        all_users, all_videos = users, videos
        for _ in range(self.num_layers):
            users, videos = (
                _Product.apply(self._to_users, self._to_videos, videos),
                _Product.apply(self._to_videos, self._to_users, users),
            )
            all_users, all_videos = all_users + users, all_videos + videos
        if self.is_unit:
            return F.normalize(all_users, dim=1), F.normalize(all_videos, dim=1)
        return all_users / (self.num_layers + 1), all_videos / (self.num_layers + 1)


def normalised(watched: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """D^-1/2 R D^-1/2: the degrees are sums of weights; rows and columns without any stay zero."""
    factors = []
    for axis in (1, 0):
        degrees = np.asarray(watched.sum(axis=axis), dtype=float)
        factors.append(np.where(degrees > 0, np.maximum(degrees, np.finfo(float).tiny) ** -0.5, 0))
    rows, columns = (scipy.sparse.diags_array(part) for part in factors)
    return scipy.sparse.csr_array(rows @ watched @ columns)


def fit(graph: VectorGraph, targets: scipy.sparse.csr_array, config: LightgcnConfig) -> None:
    """Train the vectors of layer 0 on the weighted ``targets`` (U, V)."""
    random = np.random.default_rng(config.seed)
    sample = _Sample(targets, config)
    optimizer = torch.optim.Adam(graph.parameters(), lr=config.learning_rate)
    users = np.flatnonzero(np.diff(targets.indptr))
    batches = -(-len(users) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * batches)
    for epoch in range(config.epochs):
        total = 0.0
        for some in np.array_split(random.permutation(users), batches):
            loss = _loss(graph, Batch.of(targets, some), sample, config)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        log.info("epoch", epoch=epoch, loss=round(total / batches, 4))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some users, and their targets one by one."""

    users: Int64[Tensor, " B"]
    places: Int64[Tensor, " E"]
    """The user of each target, as a place in ``users``."""
    videos: Int64[Tensor, " E"]
    weights: Float32[Tensor, " E"]

    @classmethod
    def of(cls, targets: scipy.sparse.csr_array, users: Int64[np.ndarray, " B"]) -> "Batch":
        """All targets of ``users``."""
        own = targets[users].tocoo()
        places, videos = (torch.from_numpy(part.astype(np.int64)) for part in own.coords)
        return cls(torch.from_numpy(users), places, videos, torch.from_numpy(own.data.astype(np.float32)))


class _Sample:
    """Random videos, as places in the vocabulary."""

    def __init__(self, targets: scipy.sparse.csr_array, config: LightgcnConfig) -> None:
        counts = np.append(0, np.bincount(targets.indices, minlength=targets.shape[1]))
        self._num_videos = targets.shape[1]
        self._generator = torch.Generator().manual_seed(config.seed)
        self._negatives = NegativeSampler(
            torch.from_numpy(counts), config.num_negatives, popularity_share=0.5
        )

    def negatives(self) -> tuple[Int64[Tensor, " N"], Float[Tensor, " N"]]:
        """For the softmax: distinct videos, and what to subtract from their logits."""
        drawn = self._negatives.draw(self._generator)
        return drawn.rows - 1, drawn.log_q

    def uniform(self, number: int) -> Int64[Tensor, " E"]:
        """For BPR."""
        return torch.randint(self._num_videos, (number,), generator=self._generator)


def _loss(graph: VectorGraph, batch: Batch, sample: _Sample, config: LightgcnConfig) -> Float[Tensor, ""]:
    users, videos = graph.final()
    own = users[batch.users]
    positive = (own[batch.places] * videos[batch.videos]).sum(dim=1) / graph.temperature  # (E,)
    if config.loss == "softmax":
        others, log_q = sample.negatives()
        logits = own @ videos[others].T / graph.temperature - log_q  # (B, N)
        costs = torch.logsumexp(logits, dim=1)[batch.places] - positive
    else:
        others = sample.uniform(len(batch.videos))
        costs = F.softplus((own[batch.places] * videos[others]).sum(dim=1) - positive)
    mean = (batch.weights * costs).sum() / batch.weights.sum()
    if not config.l2:
        return mean
    touched = graph.users[batch.users[batch.places]], graph.videos[batch.videos], graph.videos[others]
    return mean + config.l2 * sum(part.square().sum() for part in touched) / len(batch.videos)


def with_trend(
    users: Float32[np.ndarray, "B D"],
    videos: Float32[np.ndarray, "V D"],
    factors: Float[np.ndarray, " V"],
    temperature: float,
) -> tuple[Float32[np.ndarray, "B _"], Float32[np.ndarray, "V _"]]:
    """Both with one more coordinate: the log of ``factors`` on the logits, see ``training/trended.py``."""
    if (factors == 1).all():
        return users, videos
    constant = np.full((len(users), 1), temperature, dtype=np.float32)
    logs = np.log(factors).astype(np.float32)[:, None]
    return np.concatenate([users, constant], axis=1), np.concatenate([videos, logs], axis=1)


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one; its gradient needs the transposed, which the graph has anyway."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:  # noqa: ANN401
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:  # noqa: ANN401
        return None, None, ctx.transposed @ gradient


def _sparse(matrix: scipy.sparse.csr_array) -> Tensor:
    parts = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(np.float32)
    return torch.sparse_csr_tensor(*map(torch.from_numpy, parts), size=matrix.shape)
