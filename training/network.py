"""What the loop, the export and the validation need of a multi-interest network, whatever is inside.

Shape letters: B users, L watches (newest last), Q queries (users, or prefixes of users), K interests,
D dimensions, N videos, R rows of the video table (row 0 is padding), G most values of a video in a field,
P attributes of users.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from features.history import HistoryBatch
from features.item_fields import FieldName
from features.positives import Action
from features.schema import PAD_ROW
from training.ranking import Extract

ROWS_PER_BLOCK: Final = 65_536
"""Videos whose fields stand side by side in memory."""


@dataclass(frozen=True, slots=True)
class Routed:
    """Interests of a batch, and what training may want to hold against them."""

    interests: Float[Tensor, "Q K D"]
    presence: Float[Tensor, "Q K"] | None = None
    """Logit of "this interest will get a target", of networks that predict it."""
    penalties: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Measures that the loss adds, each with its weight in ``InterestNetwork.penalty_weights``."""


class InterestNetwork(nn.Module, ABC):
    """Maps a history to K interests; the score of a video is the inner product with its vector.

    A network that also reads profiles takes their rows as a fourth argument of ``forward`` and ``route``.

    Video tables are ``training.tables.RowTable``: in a training step only the rows of the batch may be read.

    Args:
        num_rows: rows of the video table, padding included.
        temperature: divides the scores in the softmax.
        learn_temperature: train it, as a factor of that start.
    """

    def __init__(self, num_rows: int, *, temperature: float, learn_temperature: bool = False) -> None:
        super().__init__()
        self.num_rows = num_rows
        self.start_temperature = temperature
        self.log_sharpening = nn.Parameter(torch.zeros(())) if learn_temperature else None
        self.penalty_weights: dict[str, float] = {}
        self.field_names: tuple[FieldName, ...] = ()
        """What else ``encode`` reads of a video."""

    @property
    def temperature(self) -> float | Tensor:
        """Divides the scores in the softmax."""
        if self.log_sharpening is None:
            return self.start_temperature
        return self.start_temperature * torch.exp(-self.log_sharpening)

    @abstractmethod
    def forward(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Float[Tensor, "B K D"]:
        """Interests of each user, finite for an empty history too."""

    @abstractmethod
    def item_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """Vectors of videos, exactly as the index will hold them."""

    def negative_vectors(self, rows: Int64[Tensor, " N"]) -> Float[Tensor, "N D"]:
        """What the loss holds against the interests where videos are no targets."""
        return self.item_vectors(rows)

    def encode(
        self, rows: Int64[Tensor, " N"], fields: Sequence[Int64[Tensor, "N _"]]
    ) -> Float[Tensor, "N D"]:
        """Vectors of any videos: row 0 for one without a row, and its rows in each of ``field_names``.

        A video of which nothing is known gets zeros: every interest scores it 0.
        """
        raise NotImplementedError(f"{type(self).__name__} knows videos by their row alone")

    def field_rows(self, rows: Int64[Tensor, " N"]) -> tuple[Int64[Tensor, "N _"], ...]:
        """Rows in each of ``field_names`` of the videos of the vocabulary."""
        return ()

    def route(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """One query per user, with everything that training looks at."""
        return Routed(self(video_rows, actions, age_days))

    def route_prefixes(
        self,
        video_rows: Int64[Tensor, "B L"],
        actions: Int64[Tensor, "B L"],
        age_days: Float32[Tensor, "B L"],
    ) -> Routed:
        """B * L queries: row b * L + l holds the interests of user b after watch l, from one pass."""
        raise NotImplementedError(f"{type(self).__name__} has no pass over all prefixes")

    def vectors(self) -> Float[Tensor, "R D"]:
        """Vectors of all rows."""
        blocks = torch.arange(self.num_rows).split(ROWS_PER_BLOCK)
        return torch.cat([self.item_vectors(rows) for rows in blocks])


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
        *profile: Int64[Tensor, "B P"],
    ) -> tuple[Float[Tensor, "B K D"], Float[Tensor, "B K"]]:
        """Interests, and the share of the history's positives whose best interest is k (0 without any)."""
        interests = self.network(video_rows, actions, age_days, *profile)
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
    """The video side as the program of a bundle: a table, or what the network makes of a video's fields."""

    def __init__(self, network: InterestNetwork) -> None:
        super().__init__()
        table = network.vectors().detach().clone()
        table[PAD_ROW] = 0.0
        self.register_buffer("table", table)
        self.network = network
        self.eval()

    def forward(self, video_rows: Int64[Tensor, " N"], *fields: Int64[Tensor, "N _"]) -> Float[Tensor, "N D"]:
        """Vectors of videos; zeros for one of which nothing is known."""
        return self.network.encode(video_rows, fields) if fields else self.table[video_rows]
