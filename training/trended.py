"""A trained network with the trend as one more coordinate, so that the index applies it.

The score of a video becomes <z, v> + temperature * log(r ** power): on the logits of the softmax, log of the
factor of ``training/trend.py``. The coordinate of a video is log(r ** power), that of every interest the
temperature, which is small: angles between interests stay what they were. The item encoder of a bundle is
that of ``network``: ``features/item_encoder.py`` adds the coordinate, so that newer factors need no other
program.

Shape letters: as in ``training/network.py``.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from training.network import InterestNetwork


class Trended(InterestNetwork):
    """``network`` in D + 1 dimensions.

    Args:
        factors: ``r ** power`` of every row but the padding row, which has none.
    """

    def __init__(self, network: InterestNetwork, factors: Float[np.ndarray, " V"]) -> None:
        super().__init__(network.num_rows, temperature=float(network.temperature))
        self.network = network
        self.factors = factors
        logs = np.concatenate([[0.0], np.log(factors)]).astype(np.float32)
        self.register_buffer("logs", torch.from_numpy(logs))

    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
        *profile: Int64[Tensor, "B P"],
    ) -> Float[Tensor, "B K D"]:
        """Interests with the temperature behind."""
        interests = self.network(video_rows, actions, age_days, *profile)
        return torch.cat([interests, torch.full_like(interests[:, :, :1], self.start_temperature)], dim=2)

    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Vectors with the trend behind."""
        return torch.cat([self.network.item_vectors(rows), self.logs[rows].unsqueeze(1)], dim=1)
