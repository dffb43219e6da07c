"""What the loop, the export and the validation need of a multi-interest network, whatever is inside.

Shape letters: N videos, B users, L watches (newest last), K interests, D dimensions, R rows of the video
table (row 0 is padding).
"""

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from features.history import HistoryBatch
from features.positives import Action
from features.schema import PAD_ROW
from training.ranking import Extract


class InterestNetwork(nn.Module, ABC):
    """Maps a history to K interests; the score of a video is the inner product with its vector."""

    temperature: float
    """Divides the scores in the softmax."""

    @abstractmethod
    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """Interests of each user, finite for an empty history too."""

    @abstractmethod
    def vectors(self) -> Float[Tensor, "R D"]:
        """Vectors of all rows, exactly as the index will hold them."""

    @abstractmethod
    def video_tables(self) -> list[nn.Parameter]:
        """Parameters with one row per video: each row is touched seldom and needs larger steps."""


class Extractor(nn.Module):
    """A trained network as the program of a bundle: interests, and how the history activates them."""

    def __init__(self, network: InterestNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("table", network.vectors().detach().clone())
        self.eval()

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B K"]]:
        """Interests, and the share of the history's positives whose best interest is k (0 without any)."""
        interests = self.network(video_rows, actions, age_days)
        scores = self.table[video_rows] @ interests.transpose(1, 2)  # (B, L, K)
        best = scores.argmax(dim=2, keepdim=True) == torch.arange(interests.shape[1])
        positive = (video_rows != PAD_ROW) & (actions % (2 * Action.POSITIVE) >= Action.POSITIVE)
        wins = (best & positive.unsqueeze(2)).float().sum(dim=1)  # (B, K)
        return interests, wins / positive.float().sum(dim=1, keepdim=True).clamp(min=1)

    def as_extract(self) -> Extract:
        """This program as a function of NumPy arrays, for ranking during training."""

        def extract(batch: HistoryBatch) -> tuple[np.ndarray, np.ndarray]:
            inputs = (torch.from_numpy(part) for part in batch.feed().values())
            with torch.inference_mode():
                interests, activation = self(*inputs)
            return interests.numpy(), activation.numpy()

        return extract


class ItemEncoder(nn.Module):
    """The video side as the program of a bundle."""

    def __init__(self, network: InterestNetwork) -> None:
        super().__init__()
        self.register_buffer("table", network.vectors().detach().clone())

    def forward(self, video_rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Vectors of videos; row 0 is a video that training never saw."""
        return self.table[video_rows]
