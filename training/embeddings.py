"""Vectors of videos that no network made, as a bundle that is searched like one.

A skip-gram has two vectors per video: the input vector stands for a video that was watched, the output
vector for one that comes with it. Only an inner product of an input and an output vector means anything. So a
user is the weighted mean of the input vectors of the history, and the index holds output vectors.

Shape letters: B users, L watches, D dimensions, N videos, R rows of the vocabulary (row 0 is padding).
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from pydantic import PositiveInt
from torch import Tensor

from features.bundle import INTERESTS_KIND
from features.item_fields import ItemFields
from features.neighbours import watch_weights
from features.positives import NUM_ACTION_BITS
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.activation import ActivationRecord
from training.config import ModelConfig, Share, TrendConfig
from training.dataset import WHOLE_PAST, WatchLog
from training.export import write_interest_files
from training.models import Trained
from training.network import InterestNetwork
from training.trend import trend_of
from training.trended import Trended


class EmbeddingsConfig(ModelConfig):
    """How a history is read with input vectors."""

    plain_weight: Share = 0.6
    """Weight in a history of a watch that is neither a positive nor a dislike; a positive weighs 1."""
    history_length: PositiveInt = 100
    """Newest visible watches that are read (L)."""
    trend: TrendConfig = TrendConfig()
    """How much what is watched more than usual now gains, as one more coordinate of the exported vectors."""


class EmbeddingNetwork(InterestNetwork):
    """One interest: the weighted mean of the input vectors of a history.

    The score is a logit already, so the temperature is 1.
    """

    def __init__(
        self, inputs: Float32[np.ndarray, "R D"], outputs: Float32[np.ndarray, "R D"], plain_weight: float
    ) -> None:
        super().__init__(len(inputs), temperature=1.0)
        weights = watch_weights(np.arange(2**NUM_ACTION_BITS), plain_weight)
        self.register_buffer("inputs", torch.from_numpy(inputs))
        self.register_buffer("outputs", torch.from_numpy(outputs))
        self.register_buffer("weights", torch.from_numpy(weights))

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """See ``InterestNetwork``; zeros for a history in which nothing weighs."""
        weights = self.weights[actions] * (video_rows != PAD_ROW)  # (B, L)
        total = weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        return (weights / total).unsqueeze(1) @ self.inputs[video_rows]

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """See ``InterestNetwork``."""
        return self.outputs[rows]


def trained_embeddings(
    log: WatchLog,
    vocabulary: Vocabulary,
    inputs: Float32[np.ndarray, "R D"],
    outputs: Float32[np.ndarray, "R D"],
    config: EmbeddingsConfig,
) -> Trained:
    """An ``interests`` bundle of one interest."""
    network: InterestNetwork = EmbeddingNetwork(inputs, outputs, config.plain_weight)
    if config.trend.power:
        everything = log.sequences(log.until, WHOLE_PAST)
        network = Trended(network, trend_of(everything, vocabulary, log.until, config.trend))
    return Trained(
        kind=INTERESTS_KIND,
        source=log.source(),
        num_videos=len(vocabulary),
        write_files=partial(_write, log, network, vocabulary, config.history_length),
        num_interests=1,
        dim=network.vectors().shape[1],
        history_length=config.history_length,
    )


def _write(
    log: WatchLog, network: InterestNetwork, vocabulary: Vocabulary, history_length: int, folder: Path
) -> None:
    videos = log.videos()
    nobody = ActivationRecord(np.empty(0, dtype=np.int64), num_interests=1, half_life_epochs=1.0)
    fields = ItemFields.of(videos)
    write_interest_files(
        folder, network, vocabulary, videos, nobody, fields=fields, history_length=history_length
    )
